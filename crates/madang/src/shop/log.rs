//! The event log by `events.publisher`: Kafka, or the one in the shop's own SQLite file.

use std::sync::Arc;

use anyhow::Context as _;
use messaging::embedded::{self, EmbeddedLog};
use messaging::kafka::KafkaLog;
use messaging::log::{self, EventLog};
use stores::sql::Database;

use crate::config::{self, Config, Publisher, Wrong, log_settings};

#[derive(Clone)]
pub enum Log {
    Embedded(EmbeddedLog),
    Kafka(Arc<KafkaLog>),
}

impl Log {
    pub fn port(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Embedded(log) => Arc::new(log.clone()),
            Self::Kafka(log) => Arc::clone(log) as Arc<dyn EventLog>,
        }
    }
}

/// `None` with `inline`. Must be called within a tokio runtime.
///
/// # Errors
/// The client refuses a setting.
pub fn open(config: &Config, database: &Database) -> anyhow::Result<Option<Log>> {
    match config.publisher() {
        Publisher::Inline => Ok(None),
        Publisher::Embedded => {
            let writer = database.file_writer().cloned();
            let writer = writer.context("the embedded log needs an SQLite database")?;
            let reader = database.reader().clone();
            let log = EmbeddedLog::new(writer, reader, embedded_settings(config));
            Ok(Some(Log::Embedded(log)))
        }
        Publisher::Kafka => {
            // What can be told without it has been told; it alone reads the certificates, and knows what belongs together.
            let log = KafkaLog::connect(log_settings(&config.kafka)).map_err(refused)?;
            Ok(Some(Log::Kafka(Arc::new(log))))
        }
    }
}

/// Kafka's client knows its own properties: what it refuses is a setting like any other.
fn refused(error: log::Error) -> anyhow::Error {
    let log::Error::Refused(why) = error else {
        return anyhow::Error::new(error).context("cannot make Kafka's client");
    };
    let wrong = Wrong {
        setting: "kafka.client".to_owned(),
        value: String::new(),
        right: format!("is refused by Kafka's client: {why}"),
    };
    config::Error::Wrong(vec![wrong]).into()
}

fn embedded_settings(config: &Config) -> embedded::Settings {
    let log = &config.events.embedded;
    embedded::Settings {
        publish_batch_max: log.publish_batch_max,
        publish_batch_bytes: log.publish_batch_bytes,
        publish_queue_max: log.publish_queue_max,
        append_interval_ms: log.append_interval_ms,
        poll_ms: log.poll_ms,
        idle_poll_max_ms: log.idle_poll_max_ms,
        revoke_drain_ms: log.revoke_drain_ms,
        fetch_bytes_max: log.fetch_bytes_max,
        max_message_bytes: log.max_message_bytes,
        prune_batch_max: log.prune_batch_max,
    }
}
