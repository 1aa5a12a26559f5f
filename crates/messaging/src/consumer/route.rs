//! The way of a record that fails: from its source topic over the retry topics to the dead-letter topic, and back by the redrive topic.
//! Names and steps only, nothing is published here.
//! The runtime asks it for the next step, the binary for the topics to create.

use std::collections::HashMap;

use super::settings::{Retry, Settings};
use crate::log::TopicSpec;

/// What the retry and dead-letter topics allow above their source: room for the headers added on the way.
pub const HEADROOM_BYTES: i64 = 64 * 1024;
/// Kafka's own `max.message.bytes`.
const DEFAULT_MESSAGE_BYTES: i64 = 1_048_588;
/// The share of a delay that chance may take off it.
const JITTER: f64 = 0.2;
/// Kafka deletes whole segments, which by its defaults span up to a week: a dead letter may be kept that much longer than its topic says.
const REDRIVEN_LONGER_MS: i64 = 14 * 24 * 3_600_000;

#[must_use]
pub fn retry_topic(source: &str, group: &str, delay_ms: u64) -> String {
    format!("{source}-{group}-retry-{delay_ms}")
}

/// Where dead letters of the group come back to: a retry topic without a delay, which it alone reads.
#[must_use]
pub fn redrive_topic(source: &str, group: &str) -> String {
    retry_topic(source, group, 0)
}

#[must_use]
pub fn dead_letter_topic(source: &str, group: &str) -> String {
    format!("{source}-{group}-dlt")
}

/// The retry, dead-letter and redrive topics that the consumer needs beside this source.
#[must_use]
pub fn required_topics(settings: &Settings, source: &TopicSpec) -> Vec<TopicSpec> {
    let mut topics: Vec<TopicSpec> = delays(&settings.retry)
        .into_iter()
        .map(|delay| retry_topic(&source.name, &settings.group, delay))
        .chain([dead_letter_topic(&source.name, &settings.group)])
        .map(|name| with_headroom(source, name))
        .collect();
    let mut redriven = with_headroom(source, redrive_topic(&source.name, &settings.group));
    // What lies here says which dead letters have come back: it must outlive them.
    redriven.retention_ms = redriven
        .retention_ms
        .map(|ms| ms.saturating_add(REDRIVEN_LONGER_MS));
    topics.push(redriven);
    topics
}

/// A topic shaped like its source that takes the same records with headers added.
pub(crate) fn with_headroom(source: &TopicSpec, name: String) -> TopicSpec {
    let bytes = source.max_message_bytes.unwrap_or(DEFAULT_MESSAGE_BYTES);
    TopicSpec {
        name,
        max_message_bytes: Some(bytes.saturating_add(HEADROOM_BYTES)),
        ..source.clone()
    }
}

/// Every topic that the consumer reads, in the order in which a record can come by them: sources, then of each its redrive topic
/// and its retry topics.
#[must_use]
pub fn consumed_topics(settings: &Settings) -> Vec<String> {
    let mut topics = settings.topics.clone();
    for source in &settings.topics {
        topics.push(redrive_topic(source, &settings.group));
        for delay in delays(&settings.retry) {
            topics.push(retry_topic(source, &settings.group, delay));
        }
    }
    topics
}

fn delays(retry: &Retry) -> Vec<u64> {
    match retry {
        Retry::InPlace { .. } => Vec::new(),
        Retry::Topics { delays_ms } => {
            let mut delays = delays_ms.clone();
            // Without a delay it would be the redrive topic.
            delays.retain(|delay| *delay > 0);
            delays.sort_unstable();
            delays.dedup();
            delays
        }
    }
}

/// A topic on the way: which source it belongs to and how far along it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Station {
    pub source: String,
    /// 0 at the source and on the redrive topic, n at the nth retry topic.
    pub step: usize,
    pub redriven: bool,
    /// A record here is due this long after it was written.
    pub delay_ms: u64,
}

impl Station {
    /// A record has come here from elsewhere, and its headers say from where.
    pub fn is_retry(&self) -> bool {
        self.step > 0 || self.redriven
    }
}

/// A retry topic ahead of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub topic: String,
    pub delay_ms: u64,
}

impl Next {
    /// How long the record at this place of a batch of so many waits there: at most the topic's delay, at least what the other side
    /// asked for, and between them by chance. It grows with the place, for a topic keeps its order: what failed together
    /// comes back spread out.
    pub fn wait_ms(&self, after_ms: Option<u64>, at: usize, count: usize) -> u64 {
        let share = ((at as f64 + fastrand::f64()) / count.max(1) as f64).min(1.0);
        let taken = self.delay_ms as f64 * JITTER * (1.0 - share);
        let spread = self.delay_ms.saturating_sub(taken as u64);
        spread.max(after_ms.unwrap_or(0)).min(self.delay_ms)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Routes {
    group: String,
    delays: Vec<u64>,
    stations: HashMap<String, Station>,
}

impl Routes {
    pub fn new(settings: &Settings) -> Self {
        let delays = delays(&settings.retry);
        let mut stations = HashMap::new();
        for source in &settings.topics {
            for (step, delay_ms) in std::iter::once(&0).chain(&delays).enumerate() {
                let topic = match step {
                    0 => source.clone(),
                    _ => retry_topic(source, &settings.group, *delay_ms),
                };
                let station = Station {
                    source: source.clone(),
                    step,
                    redriven: false,
                    delay_ms: *delay_ms,
                };
                stations.insert(topic, station);
            }
            let redriven = Station {
                source: source.clone(),
                step: 0,
                redriven: true,
                delay_ms: 0,
            };
            stations.insert(redrive_topic(source, &settings.group), redriven);
        }
        Self {
            group: settings.group.clone(),
            delays,
            stations,
        }
    }

    /// A topic that is none of ours counts as its own source.
    pub fn station(&self, topic: &str) -> Station {
        self.stations
            .get(topic)
            .cloned()
            .unwrap_or_else(|| Station {
                source: topic.to_owned(),
                step: 0,
                redriven: false,
                delay_ms: 0,
            })
    }

    /// The retry topic after this station, if there is one: the first that waits as long as the other side asked for,
    /// or the longest there is.
    pub fn next(&self, station: &Station, after_ms: Option<u64>) -> Option<Next> {
        let ahead = self.delays.get(station.step..)?;
        let wanted = after_ms.unwrap_or(0);
        let delay_ms = *ahead
            .iter()
            .find(|delay| **delay >= wanted)
            .or(ahead.last())?;
        Some(Next {
            topic: retry_topic(&station.source, &self.group, delay_ms),
            delay_ms,
        })
    }

    pub fn dead_letter(&self, station: &Station) -> String {
        dead_letter_topic(&station.source, &self.group)
    }

    pub fn is_source(&self, topic: &str) -> bool {
        self.stations
            .get(topic)
            .is_some_and(|station| !station.is_retry())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(delays_ms: Vec<u64>) -> Settings {
        Settings {
            group: "g".into(),
            topics: vec!["a".into()],
            retry: Retry::Topics { delays_ms },
            ..Settings::default()
        }
    }

    #[test]
    fn walks_every_retry_topic_in_ascending_order() {
        let routes = Routes::new(&settings(vec![60_000, 1_000, 1_000, 10_000]));
        let mut topic = "a".to_owned();
        let mut seen = Vec::new();
        while let Some(next) = routes.next(&routes.station(&topic), None) {
            topic = next.topic;
            seen.push(topic.clone());
        }
        assert_eq!(
            seen,
            ["a-g-retry-1000", "a-g-retry-10000", "a-g-retry-60000"]
        );
        assert_eq!(routes.dead_letter(&routes.station(&topic)), "a-g-dlt");
    }

    #[test]
    fn honours_the_wish_of_the_other_side() {
        let routes = Routes::new(&settings(vec![1_000, 10_000, 60_000]));
        let source = routes.station("a");
        let delay = |after| routes.next(&source, after).map(|next| next.delay_ms);
        assert_eq!(delay(Some(5_000)), Some(10_000));
        assert_eq!(delay(Some(600_000)), Some(60_000));
        assert_eq!(delay(None), Some(1_000));
    }

    #[test]
    fn what_fails_together_comes_back_spread_out() {
        let next = Next {
            topic: "t".into(),
            delay_ms: 10_000,
        };
        let waits: Vec<u64> = (0..100).map(|at| next.wait_ms(None, at, 100)).collect();
        assert!(waits.is_sorted());
        assert!(waits.iter().all(|wait| (8_000..=10_000).contains(wait)));
        assert!(waits[99] - waits[0] > 1_900, "{waits:?}");
        assert_eq!(next.wait_ms(Some(60_000), 0, 100), 10_000);
        assert!(next.wait_ms(Some(9_500), 0, 100) >= 9_500);
    }

    #[test]
    fn topics_to_create_take_the_sources_shape_and_some_headroom() {
        let source = TopicSpec {
            name: "a".into(),
            partitions: 3,
            replication: 1,
            retention_ms: Some(5),
            max_message_bytes: Some(1_000),
        };
        let topics = required_topics(&settings(vec![1_000]), &source);
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["a-g-retry-1000", "a-g-dlt", "a-g-retry-0"]);
        assert_eq!(topics[1].retention_ms, Some(5));
        assert_eq!(topics[2].retention_ms, Some(5 + REDRIVEN_LONGER_MS));
        for topic in &topics {
            assert_eq!(topic.partitions, 3);
            assert_eq!(topic.max_message_bytes, Some(1_000 + HEADROOM_BYTES));
        }
        let names = consumed_topics(&settings(vec![1_000]));
        assert_eq!(names, ["a", "a-g-retry-0", "a-g-retry-1000"]);
    }

    #[test]
    fn what_comes_back_walks_the_whole_way_again() {
        for delays_ms in [vec![], vec![0, 1_000]] {
            let routes = Routes::new(&settings(delays_ms));
            let back = routes.station("a-g-retry-0");
            assert!(back.is_retry() && !routes.is_source("a-g-retry-0"));
            assert_eq!(back.delay_ms, 0);
            assert_eq!(
                routes.next(&back, None),
                routes.next(&routes.station("a"), None)
            );
            assert_eq!(routes.dead_letter(&back), "a-g-dlt");
        }
    }
}
