//! The settings of the features. See `config/default.toml`.
//! Plain data, checked by `check`; `shop` turns it into the features' own settings.

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    pub queue_max: usize,
    pub batch_max: usize,
    pub batches_in_flight: usize,
    pub batches_before_commit: usize,
    pub gather_max_ms: u64,
    pub batch_interval_ms: u64,
    pub batch_timeout_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coupon {
    pub issue: CouponIssue,
    pub cache_ms: u64,
    pub cache_max: u64,
    pub keep_ms: u64,
    pub opening_wait_ms: u64,
    pub held_max: u32,
    pub joins_batch_max: usize,
    pub joins_waiting_max: usize,
    pub joins_gather_max_ms: u64,
    pub polls_batch_max: usize,
    pub polls_waiting_max: usize,
    pub polls_gather_max_ms: u64,
    pub streams_max: usize,
    pub stream_poll_ms: u64,
    pub stream_keep_alive_ms: u64,
    pub scheduler: CouponScheduler,
    pub embedded_queue: EmbeddedQueue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CouponIssue {
    Queue,
    Direct,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouponScheduler {
    pub batch_max: usize,
    pub lease_ms: u64,
    pub unsettled_max: usize,
    pub poll_ms: u64,
    pub linger_ms: u64,
    pub refresh_ms: u64,
    pub campaigns_parallel_max: usize,
    pub drain_max_ms: u64,
    pub recovery_lease_ms: u64,
    pub backoff_max_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedQueue {
    pub prune_batch_max: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    pub ttl_ms: u64,
    pub products_max: u64,
    pub pages_max: u64,
    pub card_lists_max: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analytics {
    pub by_hour_max_days: u16,
    pub by_day_max_days: u16,
    pub by_product_max_days: u16,
    pub products_max: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPlatform {
    pub url: String,
    pub secret: String,
    pub concurrency: usize,
    pub connect_timeout_ms: u64,
    pub request_timeout_ms: u64,
    pub retry_after_max_ms: u64,
    pub breaker_failures_max: u32,
    pub breaker_open_ms: u64,
    pub breaker_open_max_ms: u64,
    pub remembered_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    pub key_prefix: String,
    pub retention_days: i32,
    pub cache_ms: u64,
    pub recount_cache_ms: u64,
    pub rebuild_page: u32,
    pub feed_batch_max: usize,
    pub rebuild_wait_ms: u64,
    pub standings_max: usize,
    pub lease_ms: u64,
}
