//! The tables of the embedded log and the few row shapes that its parts share.
//! A record's rowid is its partition's id and its offset in one number, so that a partition lies together, in order, with no index beside it.
//! Used by every other module of the embedded log.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use crate::log::Error;
use crate::record::TopicPartition;

use super::writer::{Flush, Turn, Writer};

/// Offsets stay below 2^40; partition ids have the bits above and are never given twice.
const OFFSET_BITS: u32 = 40;

/// `next` is stored: the highest offset + 1 would repeat offsets once all records are pruned.
const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS log_topics (
        name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, retention_ms INTEGER, max_message_bytes INTEGER
    ) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS log_partitions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        low INTEGER NOT NULL, next INTEGER NOT NULL, UNIQUE (topic, partition)
    )",
    "CREATE TABLE IF NOT EXISTS log_records (
        id INTEGER PRIMARY KEY, timestamp_ms INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB
    )",
    "CREATE TABLE IF NOT EXISTS log_groups (
        name TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        PRIMARY KEY (name, topic, partition)
    ) WITHOUT ROWID",
];

/// Creates what is missing.
pub async fn create(writer: &Writer) -> Result<(), Error> {
    let transaction = begin(writer).await?;
    for table in TABLES {
        transaction
            .execute_unprepared(table)
            .await
            .map_err(unavailable)?;
    }
    commit(transaction, Flush::Now).await
}

/// A write transaction that holds the write lock from its first moment.
pub async fn begin(writer: &Writer) -> Result<Turn, Error> {
    writer.begin().await.map_err(unavailable)
}

pub async fn commit(transaction: Turn, flush: Flush) -> Result<(), Error> {
    let done = transaction.commit(flush).await;
    done.map_err(|why| Error::Unavailable(why.to_string()))
}

/// The rowid of a record.
#[must_use]
pub fn record_id(partition_id: i64, offset: i64) -> i64 {
    (partition_id << OFFSET_BITS) + offset
}

/// The offset within a record's rowid.
#[must_use]
pub fn offset_of(record_id: i64) -> i64 {
    record_id & ((1 << OFFSET_BITS) - 1)
}

pub fn statement(sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

/// Whatever SQLite says (busy, full, gone) may pass.
pub fn unavailable(error: DbErr) -> Error {
    Error::Unavailable(error.to_string())
}

/// `?, ?, ?`
#[must_use]
pub fn places(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// A row of `log_partitions`.
#[derive(Clone, Debug)]
pub struct PartitionRow {
    pub id: i64,
    pub at: TopicPartition,
    pub low: i64,
    pub next: i64,
}

/// All partitions of these topics; none for a topic that does not exist.
pub async fn partitions<C: ConnectionTrait>(
    connection: &C,
    topics: &[String],
) -> Result<Vec<PartitionRow>, Error> {
    let sql = format!(
        "SELECT id, topic, partition, low, next FROM log_partitions WHERE topic IN ({}) ORDER BY topic, partition",
        places(topics.len())
    );
    let values = topics.iter().map(|topic| Value::from(topic.clone()));
    let rows = connection
        .query_all_raw(statement(sql, values))
        .await
        .map_err(unavailable)?;
    rows.iter()
        .map(partition_row)
        .collect::<Result<_, _>>()
        .map_err(unavailable)
}

fn partition_row(row: &QueryResult) -> Result<PartitionRow, DbErr> {
    let topic: String = row.try_get_by_index(1)?;
    Ok(PartitionRow {
        id: row.try_get_by_index(0)?,
        at: TopicPartition::new(topic, row.try_get_by_index(2)?),
        low: row.try_get_by_index(3)?,
        next: row.try_get_by_index(4)?,
    })
}
