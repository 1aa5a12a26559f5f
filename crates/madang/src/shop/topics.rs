//! The topics that the shop needs, from its settings: the four of the contract, and those that failed records go to.

use messaging::consumer;
use messaging::dead_letters::Place;
use messaging::log::{Error, EventLog, TopicSpec};
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

/// Creates the topics that are missing: those of the contract, then those of failed records, which take what their source takes and
/// some headers. Every topic that the shop needs comes back, as it would be created today.
///
/// # Errors
/// A topic cannot be created, or one that was is not known yet.
pub async fn create(log: &dyn EventLog, config: &Config) -> Result<Vec<TopicSpec>, Error> {
    let mut sources = config.topics.all().map(|(_, topic)| spec(topic));
    log.create_topics(&sources).await?;
    let names = sources.each_ref().map(|source| source.name.clone());
    match log.max_message_bytes(&names).await {
        Ok(limits) => {
            for (source, bytes) in sources.iter_mut().zip(limits) {
                source.max_message_bytes = Some(bytes);
            }
        }
        // A shop that may not ask still runs; what it creates has room for records of the usual size.
        Err(Error::Refused(why)) => {
            tracing::warn!(%why, "how large the records of the topics may be is not known");
        }
        Err(error) => return Err(error),
    }
    let wanted = required(config, &sources);
    log.create_topics(&wanted).await?;
    Ok(wanted)
}

/// Sentences about topics of failed records that take less than their source does: created before that was raised. A record that does
/// not fit there keeps its partition waiting.
pub async fn too_small(log: &dyn EventLog, wanted: &[TopicSpec]) -> Result<Vec<String>, Error> {
    let names: Vec<String> = wanted.iter().map(|topic| topic.name.clone()).collect();
    let limits = match log.max_message_bytes(&names).await {
        Ok(limits) => limits,
        // Said already when they were created.
        Err(Error::Refused(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let each = wanted.iter().zip(limits);
    Ok(each
        .filter_map(|(topic, bytes)| {
            let wanted = topic.max_message_bytes.filter(|wanted| *wanted > bytes)?;
            Some(format!(
                "topic {} takes records of {bytes} bytes and should take {wanted}, as its source does: raise its max.message.bytes",
                topic.name
            ))
        })
        .collect())
}

/// Every topic, sources first.
fn required(config: &Config, sources: &[TopicSpec]) -> Vec<TopicSpec> {
    let mut topics = sources.to_vec();
    for source in sources {
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
