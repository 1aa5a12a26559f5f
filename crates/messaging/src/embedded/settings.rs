//! The bounds of the embedded log.

#[derive(Clone, Debug)]
pub struct Settings {
    /// Records of one transaction, about: a single publish may be larger.
    pub publish_batch_max: usize,
    pub publish_batch_bytes: usize,
    /// Publishes and commits waiting for the appender; further ones wait outside.
    pub publish_queue_max: usize,
    /// Transactions of the appender begin at most this often while they are not full; the first after a pause at once. 0: no wait.
    pub append_interval_ms: u64,
    /// How often members look for what other processes appended or created; half as often after each look that finds
    /// nothing, down to `idle_poll_max_ms`. What their own process appends they are told of at once.
    pub poll_ms: u64,
    pub idle_poll_max_ms: u64,
    /// How long a member may keep a partition that is wanted elsewhere.
    pub revoke_drain_ms: u64,
    /// Bytes of one delivered batch, about: a single record may be larger.
    pub fetch_bytes_max: usize,
    /// Key, value and headers of one record, where the topic does not say otherwise.
    pub max_message_bytes: i64,
    /// Records deleted in one transaction, so that pruning never holds the writer for long.
    pub prune_batch_max: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            publish_batch_max: 5_000,
            publish_batch_bytes: 16 * 1024 * 1024,
            publish_queue_max: 1_024,
            append_interval_ms: 20,
            poll_ms: 200,
            idle_poll_max_ms: 1_000,
            revoke_drain_ms: 5_000,
            fetch_bytes_max: 8 * 1024 * 1024,
            max_message_bytes: 1_048_588,
            prune_batch_max: 2_000,
        }
    }
}
