//! What librdkafka has to say, said once: an outage is one line when it begins and one when it ends.
//! Every client of the adapter has one as its context or in it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

#[derive(Debug)]
pub struct Reporter {
    /// Which client it is, for the log.
    client: String,
    away: AtomicBool,
    last: Mutex<Option<RDKafkaErrorCode>>,
}

impl Reporter {
    #[must_use]
    pub fn new(client: impl Into<String>) -> Self {
        Self {
            client: client.into(),
            away: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    /// The broker has just answered.
    pub fn answered(&self) {
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!(client = self.client, "kafka answers again");
        }
        *self.last.lock() = None;
    }

    /// An error that librdkafka goes on trying after.
    pub fn trouble(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let away = matches!(
            code,
            Some(
                RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::OperationTimedOut
            )
        );
        let client = &self.client;
        if away {
            if !self.away.swap(true, Ordering::Relaxed) {
                tracing::warn!(client, reason, "kafka does not answer; trying on");
            }
        } else if std::mem::replace(&mut *self.last.lock(), code) != code || code.is_none() {
            tracing::warn!(client, reason, "kafka reports trouble; trying on");
        }
    }
}

impl ClientContext for Reporter {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error too; the rest of librdkafka's lines repeat at every attempt.
        tracing::debug!(
            client = self.client,
            ?level,
            facility,
            message,
            "librdkafka"
        );
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble(error.rdkafka_error_code(), reason);
    }
}

impl ConsumerContext for Reporter {}
