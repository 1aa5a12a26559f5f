//! What one relay process is allowed: shards, leases, batches and waits.
//! Plain values; where they come from is the binary's affair.
//! `Relay` is built from them.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::backoff::Backoff;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Tells this process from every other; a new one each start.
    pub owner: String,
    /// As many as rows are written with.
    pub shards: i32,
    /// How long a shard stays ours without word from us. The log's own time-out of a record must be below half of it.
    pub lease_ms: u64,
    /// Events in one batch, at most but for those that share a row with the last; and the most rows that a look at the table reads.
    pub batch_max: u32,
    /// A shard's batches begin at most this often while they are not full: many small batches cost more than they bring.
    /// The first row after a pause waits for nothing. 0: never wait.
    pub batch_interval_ms: u64,
    /// Batches of one shard on their way at once, at least 1.
    pub in_flight_batches: usize,
    /// Rows that nobody announced (other processes wrote them) are looked for this often, once there were some.
    pub poll_ms: u64,
    /// While there are none, they are looked for half as often each time, down to this.
    pub idle_poll_max_ms: u64,
    /// Each shard is read from its head this often, for rows that were committed late.
    pub sweep_ms: u64,
    /// Acknowledged rows are deleted together, this long after the first of them at most. After a crash they are sent again.
    pub delete_interval_ms: u64,
    /// How long batches on their way may take when the relay stops.
    pub drain_ms: u64,
    /// How often the depth gauges are read, and shards beyond `shards` looked for.
    pub depth_ms: u64,
    /// Rows of a shard that the log refuses and that are kept back, at most, before the shard waits for them.
    pub held_max: usize,
    pub backoff: Backoff,
    /// `ce_source` of every event.
    pub source: Bytes,
    /// From an event's topic, or else its `kind`, to its `__TypeId__`; a kind that is missing is its own type id.
    pub type_ids: HashMap<String, Bytes>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            owner: Uuid::now_v7().to_string(),
            shards: 1,
            lease_ms: 30_000,
            batch_max: 500,
            batch_interval_ms: 20,
            in_flight_batches: 4,
            poll_ms: 100,
            idle_poll_max_ms: 500,
            sweep_ms: 1_000,
            delete_interval_ms: 100,
            drain_ms: 5_000,
            depth_ms: 5_000,
            held_max: 10_000,
            backoff: Backoff {
                initial_ms: 100,
                max_ms: 5_000,
                ..Backoff::default()
            },
            source: "/madang".into(),
            type_ids: HashMap::new(),
        }
    }
}
