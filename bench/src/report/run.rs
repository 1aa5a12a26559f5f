//! One measured run of a load as it goes into a report.
//! Made from a tally; it asks nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::{Kind, Tally};
use crate::processor::Used;
use crate::stage::Behind;

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p99_9_ms: f64,
    pub max_ms: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindRun {
    pub kind: &'static str,
    pub per_second: f64,
    /// Answers with a status that the scenario expects of this kind.
    pub done: u64,
    pub statuses: BTreeMap<u16, u64>,
    pub latency: Latency,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Of the expected answers of all kinds, or of the first alone where the scenario says that only it counts.
    pub per_second: f64,
    pub done: u64,
    /// Unexpected answers, broken connections (status 0) among them.
    pub other: u64,
    /// Due in an open loop and never sent.
    pub unsent: u64,
    /// The first answer of 500 or more, or the first broken connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complaint: Option<String>,
    pub latency: Latency,
    pub kinds: Vec<KindRun>,
    pub processor: Vec<Used>,
    /// When the load ended; none where the shop is not ours.
    pub behind: Option<Behind>,
    /// From the end of the load until nothing was left.
    pub caught_up_after_s: Option<f64>,
}

impl Latency {
    pub fn of(us: &Histogram<u64>) -> Latency {
        let ms = |quantile| us.value_at_quantile(quantile) as f64 / 1_000.0;
        Latency {
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p99_9_ms: ms(0.999),
            max_ms: us.max() as f64 / 1_000.0,
        }
    }

    pub fn text(&self) -> String {
        format!(
            "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.1} ms",
            self.p50_ms, self.p90_ms, self.p99_ms, self.p99_9_ms, self.max_ms
        )
    }
}

impl Run {
    /// `first_only`: the first kind is what is measured, the others only accompany it.
    pub fn of(tally: &Tally, kinds: &[Kind], first_only: bool) -> Run {
        let seconds = tally.took.as_secs_f64().max(1e-6);
        let of_kinds: Vec<KindRun> = tally
            .kinds
            .iter()
            .zip(kinds)
            .map(|(of, kind)| KindRun {
                kind: kind.name,
                per_second: of.expected(kind) as f64 / seconds,
                done: of.expected(kind),
                statuses: of.statuses.clone(),
                latency: Latency::of(&of.latency_us),
            })
            .collect();
        let counted = if first_only { 1 } else { of_kinds.len() };
        let done: u64 = of_kinds.iter().take(counted).map(|it| it.done).sum();
        let expected: u64 = of_kinds.iter().map(|it| it.done).sum();
        let all: u64 = tally.kinds.iter().map(|it| it.all()).sum();
        let mut latency = tally.kinds[0].latency_us.clone();
        for kind in tally.kinds.iter().take(counted).skip(1) {
            // The same bounds, so that nothing is lost.
            latency += &kind.latency_us;
        }
        Run {
            per_second: done as f64 / seconds,
            done,
            other: all - expected,
            unsent: tally.unsent,
            complaint: tally.complaint.clone(),
            latency: Latency::of(&latency),
            kinds: of_kinds,
            processor: Vec::new(),
            behind: None,
            caught_up_after_s: None,
        }
    }

    pub fn answers(tally: &Tally) -> u64 {
        tally.kinds.iter().map(|it| it.all()).sum()
    }

    pub fn caught_up(&mut self, after: Duration) {
        self.caught_up_after_s = Some(after.as_secs_f64());
    }

    pub fn text(&self) -> String {
        let mut text = format!("{:>8.0}/s  {}", self.per_second, self.latency.text());
        if self.other > 0 {
            text.push_str(&format!("  OTHER ANSWERS {}", self.other));
        }
        if let Some(complaint) = &self.complaint {
            text.push_str(&format!(", the first: {complaint}"));
        }
        if self.unsent > 0 {
            text.push_str(&format!("  never sent {}", self.unsent));
        }
        if self.kinds.len() > 1 || self.other > 0 {
            for kind in self.kinds.iter().filter(|it| !it.statuses.is_empty()) {
                text.push_str(&format!(
                    "\n        {:<18} {:>8.0}/s  {}  {:?}",
                    kind.kind,
                    kind.per_second,
                    kind.latency.text(),
                    kind.statuses
                ));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 2] = [
        Kind {
            name: "orders",
            method: "POST",
            route: "/api/orders",
            expected: &[201],
        },
        Kind {
            name: "refused",
            method: "POST",
            route: "/api/orders",
            expected: &[404, 409],
        },
    ];

    #[test]
    fn refusals_that_were_meant_are_no_other_answers() {
        let mut tally = Tally::new(2).unwrap();
        let ms = Duration::from_millis(1);
        tally.count(0, 201, ms);
        tally.count(0, 503, ms);
        tally.count(1, 404, ms);
        tally.count(1, 409, ms);
        tally.count(1, 201, ms);
        tally.took = Duration::from_secs(1);
        let run = Run::of(&tally, &KINDS, true);
        assert_eq!((run.done, run.other, run.per_second), (1, 2, 1.0));
        assert_eq!(run.kinds[1].done, 2);
        assert_eq!(Run::of(&tally, &KINDS, false).done, 3);
        assert_eq!(Run::answers(&tally), 5);
    }
}
