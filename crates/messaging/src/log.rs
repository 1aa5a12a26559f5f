//! The event log port: topics of partitions that are appended to, read by groups with committed offsets.
//! Two adapters, Kafka and a durable log in the local database; one contract suite runs on both.
//! The relay and producers publish through it; the consumer runtime is a member of its groups.

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::record::{Outgoing, Record, TopicPartition};

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be reached or did not answer in time; trying again may help.
    #[error("event log unavailable: {0}")]
    Unavailable(String),
    #[error("topic {0} does not exist")]
    UnknownTopic(String),
    /// Too large, malformed, not authorized: trying again cannot help.
    #[error("event log refused: {0}")]
    Refused(String),
    /// The committed or asked-for offset is no longer (or not yet) in the partition.
    #[error("offset {offset} of {partition} is out of range {low}..{high}")]
    OffsetOutOfRange {
        partition: TopicPartition,
        offset: i64,
        low: i64,
        high: i64,
    },
}

impl Error {
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Where a published record came to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub partition: i32,
    pub offset: i64,
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
    /// Copies of each partition; the embedded log keeps one whatever this says.
    pub replication: i32,
    pub retention_ms: Option<i64>,
    pub max_message_bytes: Option<i64>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    pub partitions: i32,
    pub replication: i32,
}

/// A partition's first offset and the offset its next record will get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub partition: i32,
    pub low: i64,
    pub high: i64,
}

/// What a member asks for when it joins a group.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub group: String,
    pub topics: Vec<String>,
    /// Records in one batch at most.
    pub batch_max: usize,
    /// How long records may wait for company where the member has to ask for them, and a large answer costs no more than a
    /// small one.
    pub fetch_wait_max_ms: u64,
    /// Where a group without a committed offset starts.
    pub reset: Reset,
    /// Those of `topics` that are the group's own: what lies there is meant for it, so that it starts at the first record always.
    pub own_topics: Vec<String>,
}

impl Subscription {
    #[must_use]
    pub fn reset_of(&self, topic: &str) -> Reset {
        if self.own_topics.iter().any(|own| own == topic) {
            Reset::Earliest
        } else {
            self.reset
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
}

/// What happens to a member of a group.
#[derive(Debug)]
pub enum Delivery {
    Assigned(Vec<TopicPartition>),
    /// These partitions are being taken away. The rebalance waits (within the adapter's bound) until
    /// `Revocation::done` is called or it is dropped: settle what is in hand, commit, or give up.
    Revoked(Revocation),
    /// Records of one partition in offset order, never empty. The partition is not delivered again before
    /// `Membership::ready` is called for it (or it is assigned anew).
    Batch(Batch),
    /// This partition cannot go on (`OffsetOutOfRange`, not authorized): the member keeps its other partitions.
    Stopped(TopicPartition, Error),
}

#[derive(Debug)]
pub struct Batch {
    pub partition: TopicPartition,
    pub records: Vec<Record>,
}

#[derive(Debug)]
pub struct Revocation {
    pub partitions: Vec<TopicPartition>,
    done: Option<oneshot::Sender<()>>,
}

impl Revocation {
    /// The adapter's half: the receiver resolves (either way) once the runtime has let go.
    #[must_use]
    pub fn new(partitions: Vec<TopicPartition>) -> (Self, oneshot::Receiver<()>) {
        let (done, released) = oneshot::channel();
        (
            Self {
                partitions,
                done: Some(done),
            },
            released,
        )
    }

    pub fn done(mut self) {
        if let Some(done) = self.done.take() {
            // The adapter may have given up waiting: nothing is left to tell it.
            let _ = done.send(());
        }
    }
}

/// One member of a group, held by one task. `next` is cancel-safe: dropping its future loses nothing.
#[async_trait]
pub trait Membership: Send {
    /// Waits for the next change or batch. Transient trouble is handled inside (a broker away is waited for);
    /// an error means that the membership is over.
    async fn next(&mut self) -> Result<Delivery, Error>;

    /// The partition's batch is settled: the following records may be delivered.
    fn ready(&mut self, partition: &TopicPartition);

    /// The next batch of the partition starts at `offset`. Call it instead of `ready`.
    async fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Error>;

    /// Commits, per partition, the offset of the next record to read. Partitions no longer owned are refused, not committed.
    async fn commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error>;

    /// Leaves the group at once, so that others need not wait for a timeout. Commits nothing.
    async fn leave(self: Box<Self>) -> Result<(), Error>;
}

#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends in order (per partition) and waits until each record is durable or has failed: one result a record,
    /// in the order given. A record that failed does not stop its neighbours.
    async fn publish(&self, batch: Vec<Outgoing>) -> Vec<Result<Acknowledged, Error>>;

    async fn join(&self, subscription: Subscription) -> Result<Box<dyn Membership>, Error>;

    /// Up to `max` records of a partition from `offset` on (or from the first that is kept, if later), outside any group.
    /// Empty when there is none within `wait_ms`.
    async fn read(
        &self,
        partition: &TopicPartition,
        offset: i64,
        max: usize,
        wait_ms: u64,
    ) -> Result<Vec<Record>, Error>;

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error>;

    /// `UnknownTopic` when it is not there.
    async fn topic(&self, name: &str) -> Result<TopicInfo, Error>;

    /// How many bytes a record of each of these topics may have, in the order asked: the topic's own limit, else the log's.
    /// `UnknownTopic` when one is not there.
    async fn max_message_bytes(&self, topics: &[String]) -> Result<Vec<i64>, Error>;

    /// Creates what is missing; a topic that exists is left as it is.
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), Error>;

    async fn delete_topic(&self, name: &str) -> Result<(), Error>;

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error>;

    /// The group's committed offset of every partition of the topic; `None` where it has none.
    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<(i32, Option<i64>)>, Error>;

    /// Answers once the log can take records; for readiness.
    async fn ping(&self) -> Result<(), Error>;
}
