//! The outbox: events written in the transaction that causes them, published afterwards by the relay, deleted by their exact ids
//! once the log has acknowledged them. This module holds the event, its row, the store port and the relay.
//! The shop's store writes rows; the relay role publishes them.

mod packing;
pub mod relay;

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

pub use packing::Packing;

/// An event on its way to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// UUID v7, ascending within a process; its `ce_id`.
    pub id: Uuid,
    /// 0..shards, from the hash of the key: events of one shard are published in order of id.
    pub shard: i32,
    pub topic: String,
    pub key: String,
    /// CloudEvents type such as `order.completed`.
    pub kind: String,
    pub payload: Bytes,
    /// Dense number of the event within its type, for `madang-seq`.
    pub seq: Option<i64>,
    pub traceparent: Option<String>,
    /// Further headers, name and value; written on the record as they are.
    pub headers: Vec<(String, String)>,
    /// Microseconds since the epoch.
    pub created_us: i64,
}

/// A row of the table `outbox`: one event, or several of one shard and topic that were committed together. It goes when
/// the log has acknowledged all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Of its first event.
    pub id: Uuid,
    pub shard: i32,
    /// All of one topic, in order of id; at least one.
    pub events: Vec<Event>,
}

impl Row {
    /// Its events' topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.events.first().map_or("", |event| &event.topic)
    }
}

impl From<Event> for Row {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            shard: event.shard,
            events: vec![event],
        }
    }
}

/// Events of all these rows.
#[must_use]
pub(crate) fn events_in(rows: &[Row]) -> usize {
    rows.iter().map(|row| row.events.len()).sum()
}

/// The shard of a key among `shards` (at least 1).
#[must_use]
pub fn shard_of(key: &str, shards: i32) -> i32 {
    crate::partitioner::partition_of(key.as_bytes(), shards)
}

/// The right to publish one shard, until `until_us` by the database's clock, unless a higher token has been given since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub shard: i32,
    pub owner: String,
    /// Fencing number: every change of owner raises it.
    pub token: i64,
    pub until_us: i64,
}

/// A look at a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In order of id.
    pub rows: Vec<Row>,
    /// The last row that was looked at, among `rows` or passed over; `None` when there was none.
    pub last: Option<Uuid>,
    /// Nothing lay beyond `last` when it was looked at.
    pub end: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub events: u64,
    /// Age of the oldest event in microseconds; 0 when there is none.
    pub oldest_us: i64,
    /// The number of shards up to the last one that has rows; 0 when there are none.
    pub shards: i32,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("outbox store unavailable: {0}")]
    Unavailable(String),
    /// Another owner has the shard now: stop publishing it.
    #[error("lease of outbox shard {shard} lost")]
    Fenced { shard: i32 },
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes or renews the shard's lease: `None` while another owner's is alive.
    async fn lease(&self, shard: i32, owner: &str, lease_ms: u64) -> Result<Option<Lease>, Error>;

    /// Gives the shard up at once, if the lease still holds.
    async fn release(&self, lease: &Lease) -> Result<(), Error>;

    /// Looks at the shard's rows in order of id, after `after` (from the head when `None`), at most at `limit` (at least 1),
    /// and passes over those in `except`.
    async fn head(
        &self,
        shard: i32,
        after: Option<Uuid>,
        limit: u32,
        except: &HashSet<Uuid>,
    ) -> Result<Page, Error>;

    /// Deletes exactly these rows if the lease still holds.
    async fn delete(&self, lease: &Lease, ids: &[Uuid]) -> Result<(), Error>;

    /// Of all shards.
    async fn depth(&self) -> Result<Depth, Error>;
}
