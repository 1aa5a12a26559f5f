//! What the shop's `/metrics` say: counters to hold answers against, and how far follow-ups are behind.
//! It asks nobody; `Side` does.

use std::collections::BTreeMap;

use serde::Serialize;

/// Series of one or several processes, added up; of those that tell a state of the whole shop, the largest.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// What has not arrived yet.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    pub outbox_events: f64,
    pub outbox_oldest_age_s: f64,
    /// Records, by consumer group.
    pub lag: BTreeMap<String, f64>,
    /// Places of first-come queues without a result.
    pub coupons_waiting: f64,
    /// From an event's instant, which is before its commit, to the log's acknowledgement, of 99 % of the events of the load: the bound of
    /// the shop's bucket that they end in. None where none was published, or some took longer than all bounds.
    pub event_delay_p99_at_most_s: Option<f64>,
}

impl Metrics {
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Metrics {
            series: lines.filter_map(series).collect(),
        }
    }

    pub fn and(mut self, other: Metrics) -> Metrics {
        self.series.extend(other.series);
        self
    }

    /// The sum of all series of that name whose labels have these values.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|it| it.value).sum()
    }

    fn max(&self, name: &str) -> f64 {
        self.matching(name, &[])
            .map(|it| it.value)
            .fold(0.0, f64::max)
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |it| {
            let has = |(label, value): &(&str, &str)| {
                it.labels.get(*label).is_some_and(|found| found == value)
            };
            it.name == name && labels.iter().all(has)
        })
    }

    pub fn behind(&self) -> Behind {
        // Two processes of one group measure the same lag: each partition counts once.
        let mut partitions: BTreeMap<(&str, &str, &str), f64> = BTreeMap::new();
        for it in self.matching("madang_consumer_lag_records", &[]) {
            let label = |name: &str| it.labels.get(name).map_or("", String::as_str);
            let at = (label("group"), label("topic"), label("partition"));
            let seen = partitions.entry(at).or_default();
            *seen = seen.max(it.value);
        }
        let mut lag = BTreeMap::new();
        for ((group, ..), records) in partitions {
            *lag.entry(group.to_owned()).or_default() += records;
        }
        Behind {
            outbox_events: self.max("madang_outbox_events"),
            outbox_oldest_age_s: self.max("madang_outbox_oldest_age_seconds"),
            lag,
            coupons_waiting: self.sum("madang_coupon_queue_depth", &[]),
            event_delay_p99_at_most_s: None,
        }
    }

    /// Of the events since `before`.
    pub fn event_delay_p99(&self, before: &Metrics) -> Option<f64> {
        let since =
            |name: &str, labels: &[(&str, &str)]| self.sum(name, labels) - before.sum(name, labels);
        let all = since("madang_outbox_delay_seconds_count", &[]);
        let buckets = "madang_outbox_delay_seconds_bucket";
        let bounds = self.matching(buckets, &[]);
        let mut bounds: Vec<(f64, &str)> = bounds
            .filter_map(|it| it.labels.get("le"))
            .filter_map(|le| Some((le.parse::<f64>().ok()?, le.as_str())))
            .filter(|(bound, _)| bound.is_finite())
            .collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let reached = |le: &str| all > 0.0 && since(buckets, &[("le", le)]) >= 0.99 * all;
        bounds.iter().find(|(_, le)| reached(le)).map(|it| it.0)
    }
}

impl Behind {
    pub fn is_nothing(&self) -> bool {
        self.outbox_events == 0.0
            && self.coupons_waiting == 0.0
            && self.lag.values().all(|records| *records == 0.0)
    }

    pub fn text(&self) -> String {
        let lag: Vec<String> = self
            .lag
            .iter()
            .map(|(group, records)| format!("{group} {records:.0}"))
            .collect();
        let delay = match self.event_delay_p99_at_most_s {
            Some(s) => format!("; 99 % of events acknowledged within {:.0} ms", s * 1e3),
            None => String::new(),
        };
        format!(
            "outbox {:.0} events, the oldest {:.2} s old; lag {}; coupons waiting {:.0}{delay}",
            self.outbox_events,
            self.outbox_oldest_age_s,
            if lag.is_empty() {
                "not told".to_owned()
            } else {
                lag.join(", ")
            },
            self.coupons_waiting
        )
    }
}

fn series(line: &str) -> Option<Series> {
    let (key, value) = line.rsplit_once(' ')?;
    let (name, labels) = match key.split_once('{') {
        None => (key, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
    };
    let mut read = BTreeMap::new();
    // No label of the shop's holds a quote or a comma within one.
    for pair in labels.split("\",").filter(|it| !it.is_empty()) {
        let (label, value) = pair.split_once("=\"")?;
        read.insert(label.to_owned(), value.trim_end_matches('"').to_owned());
    }
    Some(Series {
        name: name.to_owned(),
        labels: read,
        value: value.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP a
madang_http_requests_total{method="POST",route="/api/coupons/{id}/issue",status="202"} 5
madang_http_requests_total{method="POST",route="/api/orders",status="201"} 7
madang_outbox_events 3
madang_outbox_oldest_age_seconds 0.25
madang_consumer_lag_records{group="a",topic="t",partition="0"} 2
madang_consumer_lag_records{group="a",topic="t",partition="1"} 4
madang_coupon_queue_depth{phase="waiting"} 0
"#;

    #[test]
    fn series_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(TEXT);
        let requests = |labels: &[(&str, &str)]| metrics.sum("madang_http_requests_total", labels);
        assert_eq!(requests(&[]), 12.0);
        assert_eq!(
            requests(&[("route", "/api/coupons/{id}/issue"), ("status", "202")]),
            5.0
        );
        assert_eq!(requests(&[("status", "500")]), 0.0);
    }

    #[test]
    fn the_delay_of_events_is_a_bound_of_those_since() {
        let told = |small: u64, large: u64| {
            let of = |le: &str, count| {
                format!("madang_outbox_delay_seconds_bucket{{topic=\"t\",le=\"{le}\"}} {count}\n")
            };
            let (some, all) = (of("0.05", small), small + large);
            let rest = of("0.1", all) + &of("+Inf", all);
            let count = format!("madang_outbox_delay_seconds_count{{topic=\"t\"}} {all}\n");
            Metrics::parse(&(some + &rest + &count))
        };
        let delay = |after: Metrics, before: Metrics| after.event_delay_p99(&before);
        assert_eq!(delay(told(99, 1), Metrics::default()), Some(0.05));
        assert_eq!(delay(told(98, 2), Metrics::default()), Some(0.1));
        assert_eq!(delay(told(1_098, 2), told(1_000, 2)), Some(0.05));
        assert_eq!(delay(told(0, 0), Metrics::default()), None);
    }

    #[test]
    fn a_lag_that_two_processes_measure_counts_once() {
        let behind = Metrics::parse(TEXT).and(Metrics::parse(TEXT)).behind();
        assert_eq!(behind.lag["a"], 6.0);
        assert_eq!(
            (behind.outbox_events, behind.outbox_oldest_age_s),
            (3.0, 0.25)
        );
        assert!(!behind.is_nothing());
        assert!(Metrics::parse("").behind().is_nothing());
    }
}
