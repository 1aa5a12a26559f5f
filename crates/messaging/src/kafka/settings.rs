//! Settings of the Kafka adapter and the librdkafka configurations made from them.
//! What the shop's guarantees rest on cannot be overridden; everything else can, by librdkafka's own names.
//! `KafkaLog` and its parts use it.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::log::Error;

#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port,...`
    pub brokers: String,
    pub client_id: String,
    /// Any librdkafka property by its name, applied last.
    pub client: BTreeMap<String, String>,
    /// From `publish` to the broker's acknowledgement at most; must stay below half the outbox lease.
    pub message_timeout_ms: u64,
    /// One metadata, watermark, offset or admin request.
    pub request_timeout_ms: u64,
    /// How long a record may wait for company.
    pub linger_ms: u64,
    /// Bytes of one produce request to a partition, about.
    pub batch_bytes: usize,
    /// The largest record the client passes on; the topic's own limit is the broker's to enforce.
    pub message_max_bytes: usize,
    /// Records and KiB waiting in the producer; beyond it `publish` waits.
    pub queue_max: usize,
    pub queue_max_kib: usize,
    /// `none`, `lz4`, `zstd` or `gzip`.
    pub compression: String,
    /// `range` (JVM members with their defaults can join), `cooperative-sticky`, `roundrobin`, or `broker` for the broker's own protocol.
    pub assignor: String,
    /// A member that is silent for so long has left.
    pub session_timeout_ms: u64,
    /// How long a revoked partition may be drained.
    pub revoke_drain_ms: u64,
    /// How long `leave` waits for the group to be told.
    pub leave_timeout_ms: u64,
    /// Bytes of one delivered batch, about: a single record may be larger.
    pub fetch_bytes_max: usize,
    /// KiB fetched ahead for each partition.
    pub prefetch_max_kib: usize,
    /// A broker answers a member's fetch once so much is there, or as long has passed as the member may be kept waiting: under
    /// load many small fetches, each woken by one small write, cost the broker more than the writes do.
    pub fetch_min_bytes: usize,
    /// How soon a topic created or widened later is noticed.
    pub metadata_refresh_ms: u64,
    /// How often producers and members count their requests to brokers; 0: never.
    pub statistics_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            client_id: "madang".to_owned(),
            client: BTreeMap::new(),
            message_timeout_ms: 12_000,
            request_timeout_ms: 5_000,
            linger_ms: 5,
            batch_bytes: 512 * 1024,
            message_max_bytes: 64 * 1024 * 1024,
            queue_max: 100_000,
            queue_max_kib: 256 * 1024,
            compression: "lz4".to_owned(),
            assignor: "range".to_owned(),
            session_timeout_ms: 20_000,
            revoke_drain_ms: 5_000,
            leave_timeout_ms: 5_000,
            fetch_bytes_max: 8 * 1024 * 1024,
            prefetch_max_kib: 8 * 1024,
            fetch_min_bytes: 128 * 1024,
            metadata_refresh_ms: 10_000,
            statistics_ms: 10_000,
        }
    }
}

/// What acknowledgement, placement and committed offsets mean here depends on these.
const FIXED: [&str; 11] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "partitioner",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
];

/// A property that cannot be as it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongProperty {
    pub name: String,
    /// A sentence without the name; it tells no value.
    pub why: String,
}

impl WrongProperty {
    fn new(name: &str, why: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            why: why.into(),
        }
    }
}

impl Settings {
    /// `Refused`, naming the property, for what this build or the shop's guarantees do not allow.
    pub fn check(&self) -> Result<(), Error> {
        if self.brokers.trim().is_empty() {
            return Err(Error::Refused("no brokers are set".to_owned()));
        }
        match self.wrong_property() {
            Some(WrongProperty { name, why }) => Err(Error::Refused(format!("{name} {why}"))),
            None => Ok(()),
        }
    }

    /// The first of `client` that is not allowed, is not known, or has a value that it cannot have.
    #[must_use]
    pub fn wrong_property(&self) -> Option<WrongProperty> {
        if let Some(name) = FIXED.iter().find(|name| self.client.contains_key(**name)) {
            let why = "cannot be set: what the event log promises depends on it";
            return Some(WrongProperty::new(name, why));
        }
        self.wrong_security().or_else(|| {
            let each = [self.plain(), self.producer(), self.member("check", 1)];
            each.iter().find_map(unknown_to_librdkafka)
        })
    }

    fn protocol(&self) -> String {
        let set = self.client.get("security.protocol");
        set.map_or_else(|| "plaintext".to_owned(), |value| value.to_lowercase())
    }

    fn wrong_security(&self) -> Option<WrongProperty> {
        let protocol = self.protocol();
        let of = |prefix: &str| self.client.keys().find(|name| name.starts_with(prefix));
        if !cfg!(feature = "kafka-tls") {
            let protocol = (protocol != "plaintext").then(|| "security.protocol".to_owned());
            let name = protocol.or_else(|| of("sasl.").or_else(|| of("ssl.")).cloned())?;
            let why = "needs TLS and SASL, which this build leaves out: build with the cargo feature kafka-tls";
            return Some(WrongProperty::new(&name, why));
        }
        let (sasl, ssl) = (protocol.starts_with("sasl_"), protocol.ends_with("ssl"));
        if let Some(name) = of("sasl.").filter(|_| !sasl) {
            let why = "does nothing unless security.protocol is sasl_ssl or sasl_plaintext";
            return Some(WrongProperty::new(name, why));
        }
        if let Some(name) = of("ssl.").filter(|_| !ssl) {
            let why = "does nothing unless security.protocol is ssl or sasl_ssl";
            return Some(WrongProperty::new(name, why));
        }
        let mechanism = of("sasl.mechanism").and_then(|name| self.client.get(name));
        // librdkafka's default, which takes a library of the system's.
        if sasl && mechanism.is_none_or(|it| it.eq_ignore_ascii_case("gssapi")) {
            let why = "needs sasl.mechanism to be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512";
            return Some(WrongProperty::new("security.protocol", why));
        }
        None
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "100")
            // A broker that comes back is to be found within a second or two, not ten.
            .set("reconnect.backoff.max.ms", "2000")
            .set(
                "topic.metadata.refresh.interval.ms",
                self.metadata_refresh_ms.to_string(),
            )
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    fn with_client(&self, mut config: ClientConfig) -> ClientConfig {
        // librdkafka knows no CA file by itself. Who names authorities trusts those and not the system's too.
        if self.protocol().ends_with("ssl") && !self.client.contains_key("ssl.ca.pem") {
            config.set("ssl.ca.location", "probe");
        }
        for (name, value) in &self.client {
            config.set(name, value);
        }
        config
    }

    #[must_use]
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", self.message_timeout_ms.to_string())
            .set("linger.ms", self.linger_ms.to_string())
            .set("batch.size", self.batch_bytes.to_string())
            .set("batch.num.messages", "10000")
            .set("message.max.bytes", self.message_max_bytes.to_string())
            .set("queue.buffering.max.messages", self.queue_max.to_string())
            .set("queue.buffering.max.kbytes", self.queue_max_kib.to_string())
            .set("compression.type", &self.compression)
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("statistics.interval.ms", self.statistics_ms.to_string());
        self.with_client(config)
    }

    /// For metadata requests, by which it is told why there is no connection: a closed one is librdkafka's mere information.
    #[must_use]
    pub fn metadata(&self) -> ClientConfig {
        let mut config = self.plain();
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// For admin requests.
    #[must_use]
    pub fn plain(&self) -> ClientConfig {
        self.with_client(self.base())
    }

    /// A consumer that commits nothing by itself and never jumps: an offset out of range is an error.
    fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set(
                "queued.max.messages.kbytes",
                self.prefetch_max_kib.to_string(),
            )
            .set("queued.min.messages", "10000")
            // Once so much has been fetched ahead a partition is not looked at again for so long: with the client's own second a
            // backlog that goes faster stands still until that is over.
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.error.backoff.ms", "100");
        config
    }

    /// A member of a group.
    #[must_use]
    pub fn member(&self, group: &str, fetch_wait_max_ms: u64) -> ClientConfig {
        let mut config = self.consumer(group);
        config
            .set("fetch.min.bytes", self.fetch_min_bytes.to_string())
            .set("fetch.wait.max.ms", fetch_wait_max_ms.to_string())
            .set("statistics.interval.ms", self.statistics_ms.to_string());
        if self.assignor == "broker" {
            // The session is the broker's to time in this protocol.
            config.set("group.protocol", "consumer");
        } else {
            config
                .set("partition.assignment.strategy", &self.assignor)
                .set("session.timeout.ms", self.session_timeout_ms.to_string());
        }
        self.with_client(config)
    }

    /// Reads and asks for offsets without ever joining the group.
    #[must_use]
    pub fn onlooker(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        config
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "250");
        self.with_client(config)
    }
}

fn unknown_to_librdkafka(config: &ClientConfig) -> Option<WrongProperty> {
    match config.create_native_config() {
        Err(KafkaError::ClientConfig(_, why, name, _)) => {
            Some(WrongProperty::new(&name, format!("cannot be: {why}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Settings {
        Settings {
            brokers: "127.0.0.1:1".to_owned(),
            client: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..Settings::default()
        }
    }

    #[test]
    fn what_promises_rest_on_is_fixed() {
        let refused = with("enable.auto.commit", "true").check();
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("enable.auto.commit")
        );
        assert!(with("fetch.min.bytes", "1").check().is_ok());
    }

    #[test]
    #[cfg(not(feature = "kafka-tls"))]
    fn security_without_the_feature_names_it() {
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.mechanisms", "SCRAM-SHA-256"),
        ] {
            let refused = with(name, value).check().unwrap_err().to_string();
            assert!(refused.contains("kafka-tls") && refused.contains(name));
        }
        assert!(with("security.protocol", "plaintext").check().is_ok());
    }
}
