//! The settings of what moves events: topics, consumers, outbox, the embedded log. See `config/default.toml`.
//! Plain data, checked by `check`; `shop` turns it into the modules' own settings.

use messaging::backoff::Backoff;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub publisher: PublisherSetting,
    pub embedded: EmbeddedLog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublisherSetting {
    Kafka,
    Embedded,
    Inline,
    /// Kafka when brokers are set, else the embedded log.
    #[serde(rename = "")]
    ByBrokers,
}

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    Kafka,
    Embedded,
    /// Nowhere: each follow-up runs inside the request.
    Inline,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedLog {
    pub publish_batch_max: usize,
    pub publish_batch_bytes: usize,
    pub publish_queue_max: usize,
    pub append_interval_ms: u64,
    pub poll_ms: u64,
    pub idle_poll_max_ms: u64,
    pub revoke_drain_ms: u64,
    pub fetch_bytes_max: usize,
    pub max_message_bytes: i64,
    pub prune_batch_max: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUps {
    pub ranking: FollowUp,
    pub data_platform: FollowUp,
    pub analytics: FollowUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FollowUp {
    Events,
    Inline,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topics {
    pub order_completed: Topic,
    pub product_ranking: Topic,
    pub coupon_issue: Topic,
    pub data_platform_transfer: Topic,
}

impl Topics {
    /// Each topic with the name of its section.
    pub fn all(&self) -> [(&'static str, &Topic); 4] {
        [
            ("order_completed", &self.order_completed),
            ("product_ranking", &self.product_ranking),
            ("coupon_issue", &self.coupon_issue),
            ("data_platform_transfer", &self.data_platform_transfer),
        ]
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub replication: i32,
    pub retention_hours: i64,
    pub type_id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumers {
    pub offset_reset: OffsetReset,
    pub drain_ms: u64,
    pub commit_interval_ms: u64,
    pub backoff_initial_ms: u64,
    pub backoff_max_ms: u64,
    pub lag_ms: u64,
    pub analytics: Consumer,
    pub ranking: Consumer,
    pub coupon_issue: Consumer,
    pub data_platform: Consumer,
}

impl Consumers {
    /// Each consumer with the name of its section.
    pub fn all(&self) -> [(&'static str, &Consumer); 4] {
        [
            ("analytics", &self.analytics),
            ("ranking", &self.ranking),
            ("coupon_issue", &self.coupon_issue),
            ("data_platform", &self.data_platform),
        ]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffsetReset {
    Earliest,
    Latest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryMode {
    InPlace,
    Topics,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    pub group: String,
    pub concurrency: usize,
    pub batch_max: usize,
    pub batch_interval_ms: u64,
    pub fetch_wait_max_ms: u64,
    pub retry: RetryMode,
    /// Deliveries in all; 0: for ever, in place only.
    pub attempts_max: u32,
    pub retry_initial_ms: u64,
    pub retry_factor: f64,
    pub retry_max_ms: u64,
}

impl Consumer {
    pub fn retry_backoff(&self) -> Backoff {
        Backoff {
            initial_ms: self.retry_initial_ms,
            multiplier: self.retry_factor,
            max_ms: self.retry_max_ms,
            ..Backoff::default()
        }
    }

    /// Over topics: the waits before the second delivery and each that follows.
    pub fn retry_delays_ms(&self) -> Vec<u64> {
        let backoff = self.retry_backoff();
        let waits = 1..self.attempts_max;
        waits.map(|wait| backoff.ceiling_ms(wait)).collect()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    pub shards: i32,
    pub lease_ms: u64,
    pub batch_max: u32,
    pub batch_interval_ms: u64,
    pub in_flight_batches: usize,
    pub poll_ms: u64,
    pub idle_poll_max_ms: u64,
    pub sweep_ms: u64,
    pub drain_ms: u64,
    pub handed_max: usize,
    pub delete_interval_ms: u64,
    pub held_max: usize,
    pub depth_ms: u64,
    pub events_max: u64,
    pub row_events_max: u8,
    pub row_bytes_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Janitor {
    pub every_ms: u64,
    pub idempotency_keep_days: u32,
    pub foreign_notes_keep_days: u32,
    pub batch_max: u32,
}
