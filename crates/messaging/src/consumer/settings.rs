//! What one consumer is: its group, its topics, and how it retries.
//! Plain values; where they come from is the binary's affair.
//! `Runtime` is built from them, `required_topics` and `lag` read them.

use crate::backoff::Backoff;
use crate::log::Reset;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Names the consumer in metrics, log lines and dead letters.
    pub name: String,
    pub group: String,
    /// Source topics; retry topics are added by the runtime.
    pub topics: Vec<String>,
    /// Partitions handed to the handler at once in this process, at least 1.
    pub concurrency: usize,
    /// Records in one batch at most.
    pub batch_max: usize,
    /// A partition's batches begin at least this far apart, unless the last one was full: under load small batches cost
    /// more than they bring. The first batch after a pause waits for nothing. 0: never wait.
    pub batch_interval_ms: u64,
    /// How long the log may hold records back until there are enough of them to be worth an answer.
    pub fetch_wait_max_ms: u64,
    /// Of source topics: where a group without a committed offset starts. Its own topics are read from their first record always.
    pub reset: Reset,
    pub retry: Retry,
    /// Waits of what is tried again as a whole: batches, publishing, joining the group.
    pub backoff: Backoff,
    /// A handler's `after_ms` counts up to this.
    pub after_max_ms: u64,
    /// How long batches in hand may take to settle when partitions are taken away or the consumer stops.
    pub drain_ms: u64,
    /// Settled offsets are committed this often; and at once on revoke and stop.
    pub commit_interval_ms: u64,
    /// Bytes of the exception headers of a retried or dead record at most (the text is cut).
    pub failure_bytes_max: usize,
    /// Makes a span part of the trace that a record's `traceparent` names. Whoever exports spans knows how; `None` where nobody
    /// does.
    pub join_trace: Option<fn(&tracing::Span, &str)>,
}

/// What becomes of a record whose handler asked for a retry.
#[derive(Clone, Debug, PartialEq)]
pub enum Retry {
    /// The record is held at the head of its partition: order is kept, the partition waits.
    InPlace {
        /// Deliveries after which the record is dead; `None`: it is tried for ever.
        attempts_max: Option<u32>,
        /// Waits between them.
        backoff: Backoff,
    },
    /// The record moves to `<topic>-<group>-retry-<delay>` and on to the next: the partition goes on, order is given up.
    Topics {
        /// Delay of each retry topic, at least 1; used in ascending order, repeated ones once.
        delays_ms: Vec<u64>,
    },
}

impl Retry {
    /// In place with the usual waits.
    #[must_use]
    pub fn in_place(attempts_max: Option<u32>) -> Self {
        Self::InPlace {
            attempts_max,
            backoff: Backoff::default(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            group: String::new(),
            topics: Vec::new(),
            concurrency: 3,
            batch_max: 500,
            batch_interval_ms: 100,
            fetch_wait_max_ms: 100,
            reset: Reset::Earliest,
            retry: Retry::in_place(None),
            backoff: Backoff::default(),
            after_max_ms: 300_000,
            drain_ms: 5_000,
            commit_interval_ms: 250,
            failure_bytes_max: 32 * 1024,
            join_trace: None,
        }
    }
}
