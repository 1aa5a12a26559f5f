//! The way of a record that fails: from its source topic over the retry topics to the dead-letter topic.
//! Names and steps only, nothing is published here.
//! The runtime asks it for the next step, the binary for the topics to create.

use std::collections::HashMap;

use super::settings::{Retry, Settings};
use crate::log::TopicSpec;

/// What the retry and dead-letter topics allow above their source: room for the headers added on the way.
pub const HEADROOM_BYTES: i64 = 64 * 1024;
/// Kafka's own `max.message.bytes`.
const DEFAULT_MESSAGE_BYTES: i64 = 1_048_588;

#[must_use]
pub fn retry_topic(source: &str, group: &str, delay_ms: u64) -> String {
    format!("{source}-{group}-retry-{delay_ms}")
}

#[must_use]
pub fn dead_letter_topic(source: &str, group: &str) -> String {
    format!("{source}-{group}-dlt")
}

/// The retry and dead-letter topics that the consumer needs beside this source.
#[must_use]
pub fn required_topics(settings: &Settings, source: &TopicSpec) -> Vec<TopicSpec> {
    delays(&settings.retry)
        .into_iter()
        .map(|delay| retry_topic(&source.name, &settings.group, delay))
        .chain([dead_letter_topic(&source.name, &settings.group)])
        .map(|name| with_headroom(source, name))
        .collect()
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

/// Every topic that the consumer reads: sources, then their retry topics.
#[must_use]
pub fn consumed_topics(settings: &Settings) -> Vec<String> {
    let mut topics = settings.topics.clone();
    for source in &settings.topics {
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
    /// 0 at the source, n at the nth retry topic.
    pub step: usize,
    /// A record here is due this long after it was written.
    pub delay_ms: u64,
}

impl Station {
    pub fn is_retry(&self) -> bool {
        self.step > 0
    }
}

/// A retry topic ahead of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub topic: String,
    pub delay_ms: u64,
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
                    delay_ms: *delay_ms,
                };
                stations.insert(topic, station);
            }
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
        assert_eq!(names, ["a-g-retry-1000", "a-g-dlt"]);
        for topic in &topics {
            assert_eq!(topic.partitions, 3);
            assert_eq!(topic.max_message_bytes, Some(1_000 + HEADROOM_BYTES));
        }
        let names = consumed_topics(&settings(vec![1_000]));
        assert_eq!(names, ["a", "a-g-retry-1000"]);
    }
}
