//! Which dead letters are meant: by topic, group, cause, time, or one by one.
//! All three commands of `dlt` take it. Kinds of filters narrow each other; one kind given twice means either.

use anyhow::bail;
use jiff::{Span, SpanRelativeTo, Timestamp};
use messaging::dead_letters::{Place, Story, id};
use messaging::record::Record;

use crate::config::Config;
use crate::shop;

#[derive(clap::Args)]
pub struct Filter {
    /// Of this topic: the one they failed on, or the dead-letter topic itself. May be repeated, as the next three.
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Failures of this group; "outbox": records that their own topic refused.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// With this cause (kafka_dlt-exception-cause-fqcn), such as MalformedValue.
    #[arg(long = "cause", value_name = "CAUSE")]
    causes: Vec<String>,
    /// This one, as `dlt show` names it.
    #[arg(long = "id", value_name = "TOPIC-PARTITION@OFFSET", value_parser = one)]
    ids: Vec<String>,
    /// Dead since then: RFC 3339, or so long ago, such as 15m, 2h or 1d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Dead before then.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

fn one(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once('@').and_then(|(place, offset)| {
        let (_, partition) = place.rsplit_once('-')?;
        Some((partition.parse::<i32>().ok()?, offset.parse::<i64>().ok()?))
    });
    match parts {
        Some(_) => Ok(text.to_owned()),
        None => Err("must be TOPIC-PARTITION@OFFSET".to_owned()),
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = text.parse::<Span>().and_then(|span| {
        let length = span.to_duration(SpanRelativeTo::days_are_24_hours())?;
        Timestamp::now().checked_sub(length)
    });
    ago.map_err(|_| {
        "must be RFC 3339, such as 2026-01-31T09:00:00Z, or so long ago, such as 15m".to_owned()
    })
}

impl Filter {
    /// The dead-letter topics that may hold what is meant, never none.
    ///
    /// # Errors
    /// The settings know none by these names.
    pub fn places(&self, config: &Config) -> anyhow::Result<Vec<Place>> {
        let all = shop::dead_letter_places(config);
        let meant: Vec<Place> = all
            .iter()
            .filter(|place| self.means(place))
            .cloned()
            .collect();
        if meant.is_empty() {
            let known: Vec<String> = all.into_iter().map(|place| place.topic).collect();
            bail!(
                "these filters leave no dead-letter topic of: {}",
                known.join(", ")
            );
        }
        Ok(meant)
    }

    fn means(&self, place: &Place) -> bool {
        let named = |topic: &String| *topic == place.source || *topic == place.topic;
        let holds = |id: &String| {
            let at = id.rsplit_once('@').and_then(|(at, _)| at.rsplit_once('-'));
            at.is_some_and(|(topic, _)| topic == place.topic)
        };
        (self.topics.is_empty() || self.topics.iter().any(named))
            && (self.groups.is_empty() || self.groups.contains(&place.group))
            && (self.ids.is_empty() || self.ids.iter().any(holds))
    }

    /// Of a record of one of `places`.
    pub fn wants(&self, record: &Record) -> bool {
        let since = self.since.map_or(i64::MIN, Timestamp::as_millisecond);
        let until = self.until.map_or(i64::MAX, Timestamp::as_millisecond);
        (since..until).contains(&record.timestamp_ms)
            && (self.ids.is_empty() || self.ids.contains(&id(record)))
            && (self.causes.is_empty() || self.causes.contains(&Story::of(record).cause))
    }

    /// How many records were named one by one.
    pub fn named(&self) -> usize {
        let mut ids: Vec<&String> = self.ids.iter().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }
}

#[cfg(test)]
mod tests {
    use messaging::record::{Headers, TimestampType};

    use super::*;

    fn filter() -> Filter {
        Filter {
            topics: Vec::new(),
            groups: Vec::new(),
            causes: Vec::new(),
            ids: Vec::new(),
            since: None,
            until: None,
        }
    }

    fn dead(offset: i64, timestamp_ms: i64, cause: &str) -> Record {
        let mut headers = Headers::new();
        headers.append("kafka_dlt-exception-cause-fqcn", cause.to_owned());
        Record {
            topic: "a-g-dlt".into(),
            partition: 0,
            offset,
            timestamp_ms,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: None,
            headers,
        }
    }

    #[test]
    fn kinds_narrow_and_repeats_widen() {
        let causes = Filter {
            causes: vec!["A".into(), "B".into()],
            since: Some(Timestamp::from_millisecond(100).unwrap()),
            until: Some(Timestamp::from_millisecond(200).unwrap()),
            ..filter()
        };
        assert!(causes.wants(&dead(1, 100, "A")) && causes.wants(&dead(1, 199, "B")));
        assert!(!causes.wants(&dead(1, 100, "C")));
        assert!(!causes.wants(&dead(1, 99, "A")) && !causes.wants(&dead(1, 200, "A")));
        let one = Filter {
            ids: vec!["a-g-dlt-0@7".into()],
            ..filter()
        };
        assert!(one.wants(&dead(7, 1, "A")) && !one.wants(&dead(8, 1, "A")));
    }

    #[test]
    fn a_place_is_meant_by_its_source_its_topic_its_group_or_a_record() {
        let place = Place::of_group("a", "g");
        let meant = |change: fn(&mut Filter)| {
            let mut filter = filter();
            change(&mut filter);
            filter.means(&place)
        };
        assert!(meant(|_| {}));
        assert!(meant(|f| f.topics = vec!["b".into(), "a".into()]));
        assert!(meant(|f| f.topics = vec!["a-g-dlt".into()]));
        assert!(!meant(|f| f.topics = vec!["a-g".into()]));
        assert!(meant(|f| f.ids = vec!["a-g-dlt-2@7".into()]));
        assert!(!meant(|f| f.ids = vec!["a-dlt-2@7".into()]));
        assert!(!meant(|f| f.groups = vec!["h".into()]));
    }

    #[test]
    fn moments_are_times_or_ages() {
        let time = moment("2026-01-31T09:00:00Z").unwrap();
        assert_eq!(time.to_string(), "2026-01-31T09:00:00Z");
        for (text, seconds) in [
            ("15m", 900),
            ("2h", 7_200),
            ("1d", 86_400),
            ("1h 30m", 5_400),
        ] {
            let age = Timestamp::now().as_second() - moment(text).unwrap().as_second();
            assert!((seconds..seconds + 60).contains(&age), "{text}: {age}");
        }
        for text in ["", "yesterday", "15", "2026-13-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert!(one("t-0@1").is_ok() && one("t-0").is_err() && one("t@1").is_err());
    }
}
