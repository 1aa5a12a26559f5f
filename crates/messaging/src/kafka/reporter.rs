//! What librdkafka has to say, said once: an outage is one line when it begins and one when it ends.
//! Every client of the adapter has one as its context or in it.

use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// How OpenSSL says that a certificate was not accepted, whatever the reason.
const NOT_VERIFIED: &str = "certificate verify failed";

/// librdkafka has such a hint too, and loses it for want of reading its own message right.
const HINT: &str = "; a listener that wants TLS or a password does so: look at security.protocol";
/// No broker calls a connection idle as soon as this.
const IDLE_MS: u64 = 2_000;

#[derive(Debug)]
pub struct Reporter {
    /// Which client it is, for the log.
    client: String,
    state: Mutex<State>,
    /// Requests that were told of already.
    requests: AtomicI64,
}

/// What is wanted of librdkafka's statistics.
#[derive(serde::Deserialize)]
struct Statistics {
    /// Requests to brokers since the client was made.
    tx: i64,
}

/// Since the broker answered last.
#[derive(Debug, Default)]
struct State {
    away: bool,
    last: Option<Code>,
    cause: Option<Cause>,
}

/// The last reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Not reached, or lost.
    Away(String),
    /// Reached, but the two do not come to terms.
    NoWayIn(String),
    /// The broker's certificate was not accepted; librdkafka does not say why.
    Certificate(String),
}

impl Reporter {
    #[must_use]
    pub fn new(client: impl Into<String>) -> Self {
        Self {
            client: client.into(),
            state: Mutex::default(),
            requests: AtomicI64::new(0),
        }
    }

    /// Counts the requests since the last time.
    pub fn statistics(&self, json: &[u8]) {
        match serde_json::from_slice::<Statistics>(json) {
            Ok(Statistics { tx }) => {
                let new = tx - self.requests.swap(tx, Ordering::Relaxed);
                metrics::counter!("madang_kafka_requests_total", "client" => self.client.clone())
                    .increment(new.unsigned_abs());
            }
            Err(error) => tracing::debug!(%error, "librdkafka's statistics cannot be read"),
        }
    }

    /// The broker has just answered.
    pub fn answered(&self) {
        let before = std::mem::take(&mut *self.state.lock());
        if before.away {
            tracing::info!(client = self.client, "kafka answers again");
        }
    }

    /// Why the broker does not answer, where librdkafka has said so.
    pub fn cause(&self) -> Option<Cause> {
        self.state.lock().cause.clone()
    }

    /// A broker that closes the connection, as at a listener that speaks another way, is no error to librdkafka: it is in its log only,
    /// and may as well have been idle.
    fn disconnected(&self, message: &str) {
        let (_thread, reason) = message.split_once("]: ").unwrap_or(("", message));
        let mut state = self.state.lock();
        if matches!(state.cause, None | Some(Cause::Away(_))) {
            let hint = if closed_young(reason) { HINT } else { "" };
            state.cause = Some(Cause::Away(format!("{reason}{hint}")));
        }
    }

    /// An error that librdkafka goes on trying after.
    pub fn trouble(&self, code: Option<Code>, reason: &str) {
        // A reader asks to be told of a partition's end; it comes this way too.
        if code == Some(Code::PartitionEOF) {
            return;
        }
        let client = &self.client;
        let state = &mut *self.state.lock();
        let cause = cause(code, reason);
        let away = matches!(cause, Some(Cause::Away(_)));
        let silent = away || matches!(code, Some(Code::AllBrokersDown | Code::OperationTimedOut));
        if silent {
            // After a lock has been met, that all brokers are down says nothing more.
            if !std::mem::replace(&mut state.away, true) {
                tracing::warn!(client, reason, "kafka does not answer; trying on");
            }
        } else if std::mem::replace(&mut state.last, code) != code || code.is_none() {
            if cause.is_some() {
                state.away = true;
                tracing::warn!(
                    client,
                    reason,
                    "kafka and this client do not come to terms; trying on"
                );
            } else {
                tracing::warn!(client, reason, "kafka reports trouble; trying on");
            }
        }
        if cause.is_some() {
            state.cause = cause;
        }
    }
}

fn cause(code: Option<Code>, reason: &str) -> Option<Cause> {
    let says = |words: &str| reason.contains(words);
    match code? {
        Code::Authentication | Code::SaslAuthenticationFailed => {
            Some(Cause::NoWayIn(format!("authentication failed: {reason}")))
        }
        Code::SSL if says(NOT_VERIFIED) => Some(Cause::Certificate(reason.to_owned())),
        // An alert of the broker's comes as a connection that broke.
        Code::SSL | Code::BrokerTransportFailure if says("alert") && says("certificate") => {
            Some(Cause::NoWayIn(format!(
                "the broker does not accept this client's certificate (ssl.certificate.location, ssl.key.location): {reason}"
            )))
        }
        Code::SSL => Some(Cause::NoWayIn(format!("TLS failed: {reason}"))),
        Code::BrokerTransportFailure | Code::Resolve => Some(Cause::Away(reason.to_owned())),
        _ => None,
    }
}

/// Whether the broker closed the connection before it can have been idle: `Disconnected: ... (after 3ms in state UP)`.
fn closed_young(reason: &str) -> bool {
    let age = reason.rsplit_once("(after ").map_or("", |(_, age)| age);
    let Some((ms, state)) = age.split_once("ms in state ") else {
        return false;
    };
    let up_briefly = state.starts_with("UP") && ms.parse().is_ok_and(|ms: u64| ms < IDLE_MS);
    reason.contains("Disconnected") && (up_briefly || state.starts_with("APIVERSION_QUERY"))
}

impl ClientContext for Reporter {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            self.disconnected(message);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: &str = "[thrd:a:1/bootstrap]: a:1/bootstrap: Disconnected";

    #[test]
    fn the_last_reason_stands_until_the_broker_answers() {
        let reporter = Reporter::new("test");
        assert_eq!(reporter.cause(), None);
        reporter.trouble(Some(Code::BrokerTransportFailure), "refused");
        assert_eq!(reporter.cause(), Some(Cause::Away("refused".to_owned())));
        reporter.trouble(Some(Code::Authentication), "wrong");
        let locked = Some(Cause::NoWayIn("authentication failed: wrong".to_owned()));
        assert_eq!(reporter.cause(), locked);
        reporter.trouble(Some(Code::AllBrokersDown), "1/1 brokers are down");
        reporter.log(RDKafkaLogLevel::Info, "FAIL", CLOSED);
        assert_eq!(reporter.cause(), locked);
        reporter.answered();
        assert_eq!(reporter.cause(), None);
        reporter.log(RDKafkaLogLevel::Info, "FAIL", CLOSED);
        let closed = Cause::Away("a:1/bootstrap: Disconnected".to_owned());
        assert_eq!(reporter.cause(), Some(closed));
    }

    #[test]
    fn a_connection_that_is_closed_at_once_was_not_idle() {
        let closed = |age: &str| {
            closed_young(&format!(
                "a:1/1: Disconnected: closed by peer (after {age})"
            ))
        };
        assert!(closed(
            "0ms in state APIVERSION_QUERY, 17 identical error(s) suppressed"
        ));
        assert!(closed("12ms in state UP"));
        assert!(!closed("600000ms in state UP"));
        assert!(!closed_young(
            "a:1/1: Connect failed: refused (after 0ms in state CONNECT)"
        ));
    }

    #[test]
    fn whose_certificate_it_is_that_is_not_accepted() {
        let brokers =
            "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed";
        let clients = "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate";
        let of = |code, reason| cause(Some(code), reason);
        assert!(matches!(
            of(Code::SSL, brokers),
            Some(Cause::Certificate(_))
        ));
        let Some(Cause::NoWayIn(why)) = of(Code::BrokerTransportFailure, clients) else {
            panic!("an alert is no absence");
        };
        assert!(why.starts_with("the broker does not accept this client's certificate"));
    }
}
