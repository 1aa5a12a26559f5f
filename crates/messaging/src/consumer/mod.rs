//! The consumer runtime: hands batches per partition to a plain handler and turns its outcomes into acknowledgement,
//! retry, dead letters and committed offsets. A handler knows none of that.
//! Handlers live with the features; the binary starts one runtime a consumer.

mod bisect;
pub(crate) mod journey;
mod lag;
mod leaving;
mod member;
mod meters;
mod route;
mod runtime;
mod seeking;
mod settings;
mod settle;
mod spans;
mod worker;

use async_trait::async_trait;

use crate::envelope::{Identity, Origin};
use crate::record::Record;

pub use lag::{Lag, ends, lag, lag_to};
pub(crate) use route::with_headroom;
pub use route::{consumed_topics, dead_letter_topic, redrive_topic, required_topics, retry_topic};
pub use runtime::Runtime;
pub use settings::{Retry, Settings};

/// An event as a handler sees it: the record as it came, and who it is.
#[derive(Clone, Debug)]
pub struct Event {
    pub record: Record,
    pub identity: Identity,
    pub origin: Origin,
    /// Deliveries so far, this one included: 1 the first time.
    pub attempt: u32,
}

/// Why a record could not be handled; `kind` is a stable name such as `MalformedValue`, which dead-letter headers carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: String,
    pub message: String,
}

impl Failure {
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is durable, or it never needs one.
    Done,
    /// It may succeed later; `after_ms` is the other side's wish (Retry-After), if it had one.
    Retry {
        failure: Failure,
        after_ms: Option<u64>,
    },
    /// It can never succeed: to the dead-letter topic as it came.
    Dead(Failure),
}

impl Outcome {
    #[must_use]
    pub fn retry(failure: Failure) -> Self {
        Self::Retry {
            failure,
            after_ms: None,
        }
    }
}

/// A handler's word on a whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One outcome an event, in their order.
    Each(Vec<Outcome>),
    /// The whole batch failed for a reason that lies outside its records (a store away, a deadlock): try it again as it is.
    RetryAll(Failure),
    /// The whole batch failed and one of its records may be the cause: the runtime bisects to find it.
    Suspect(Failure),
    /// The handler's store has lost effects of earlier records: start again at this offset of the batch's partition.
    Rewind { offset: i64 },
}

/// What a consumer does with events. Called with at most one batch of a partition at a time, in offset order, from its own task;
/// a batch may be delivered again in whole or part, grouped otherwise: the handler's effect and its note are one atomic step.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    async fn handle(&self, batch: &[Event]) -> Verdict;
}
