//! The settings by section, typed. Names and defaults are those of `config/default.toml`, which documents each.
//! Plain data: what does not fit together is found by `check`.
//! `shop` and the roles read them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::features::{Analytics, Catalogue, Coupon, DataPlatform, Orders, Ranking};
use super::messaging::{Consumers, Events, FollowUps, Janitor, Outbox, Topics};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data_dir: PathBuf,
    pub shop: Shop,
    pub http: Http,
    pub auth: Auth,
    pub log: Log,
    pub telemetry: Telemetry,
    pub database: Database,
    pub redis: Redis,
    pub kafka: Kafka,
    pub events: Events,
    pub follow_ups: FollowUps,
    pub topics: Topics,
    pub consumers: Consumers,
    pub outbox: Outbox,
    pub janitor: Janitor,
    pub orders: Orders,
    pub coupon: Coupon,
    pub catalogue: Catalogue,
    pub analytics: Analytics,
    pub data_platform: DataPlatform,
    pub ranking: Ranking,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    pub time_zone: String,
    pub source: String,
    pub id_block: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: String,
    pub head_max_bytes: usize,
    pub body_max_bytes: usize,
    pub request_timeout_ms: u64,
    pub idle_max_ms: u64,
    pub concurrency_max: usize,
    pub rate_per_second: u32,
    pub rate_burst: u32,
    pub access_log: AccessLog,
    pub drain_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    Errors,
    All,
    Off,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub mode: AuthMode,
    pub jwks_url: String,
    pub jwks_refresh_ms: u64,
    pub hmac_secret: String,
    pub issuer: String,
    pub audience: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    Jwt,
    Off,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Human,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub otlp_endpoint: String,
    pub service_name: String,
    pub sample_ratio: f64,
}

impl Telemetry {
    /// Whether spans go to a collector.
    pub fn has_collector(&self) -> bool {
        !self.otlp_endpoint.is_empty()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: String,
    pub connections_max: u32,
    pub writer_connections_max: u32,
    pub acquire_timeout_ms: u64,
    pub statement_cache: usize,
    pub attempts_max: u32,
    pub busy_timeout_ms: u64,
    pub cache_kib: u32,
    pub shared_flush_max: usize,
    pub checkpoint_transactions: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub url: String,
    pub response_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub pipeline_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: String,
    pub keys: Keys,
    pub time_format: TimeFormat,
    pub client_id: String,
    pub message_timeout_ms: u64,
    pub request_timeout_ms: u64,
    pub linger_ms: u64,
    pub batch_bytes: usize,
    pub message_max_bytes: usize,
    pub queue_max: usize,
    pub queue_max_kib: usize,
    pub compression: String,
    pub assignor: String,
    pub session_timeout_ms: u64,
    pub revoke_drain_ms: u64,
    pub leave_timeout_ms: u64,
    pub fetch_bytes_max: usize,
    pub prefetch_max_kib: usize,
    pub fetch_min_bytes: usize,
    pub metadata_refresh_ms: u64,
    pub statistics_ms: u64,
    pub client: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    Decimal,
    Jvm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeFormat {
    Pattern,
    Rfc3339,
}
