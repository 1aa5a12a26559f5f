//! The topics that the shop needs, from its settings: the four of the contract, and those that failed records go to.

use messaging::consumer;
use messaging::dead_letters::Place;
use messaging::log::TopicSpec;
use messaging::outbox::relay;

use super::consumers::{self, Name};
use crate::config::{Config, Topic};

const HOUR_MS: i64 = 3_600_000;

/// A topic as its settings want it.
pub fn spec(topic: &Topic) -> TopicSpec {
    let retention_ms = topic.retention_hours.saturating_mul(HOUR_MS);
    TopicSpec {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication: topic.replication,
        retention_ms: (retention_ms > 0).then_some(retention_ms),
        max_message_bytes: None,
    }
}

/// Every topic, sources first.
pub fn required(config: &Config) -> Vec<TopicSpec> {
    let sources = config.topics.all().map(|(_, topic)| spec(topic));
    let mut topics = sources.to_vec();
    for source in &sources {
        topics.extend(relay::required_topics(source));
        for name in Name::ALL {
            let settings = consumers::settings(config, name);
            if settings.topics.contains(&source.name) {
                topics.extend(consumer::required_topics(&settings, source));
            }
        }
    }
    topics
}

/// Every dead-letter topic: of each group, and of the relay.
pub fn dead_letter_places(config: &Config) -> Vec<Place> {
    let mut places = Vec::new();
    for (_, topic) in config.topics.all() {
        for name in Name::ALL {
            let settings = consumers::settings(config, name);
            if settings.topics.contains(&topic.name) {
                places.push(Place::of_group(&topic.name, &settings.group));
            }
        }
        places.push(Place::of_relay(&topic.name));
    }
    places
}
