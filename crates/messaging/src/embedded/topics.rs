//! Topics of the embedded log: what there is, making and removing them, offsets of groups, retention.
//! Each write is one short transaction. `EmbeddedLog` calls it.

use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Value};

use crate::log::{Error, TopicInfo, TopicSpec};

use super::schema::{self, PartitionRow, record_id, statement, unavailable};
use super::writer::{Flush, Writer};

pub async fn list(reader: &DatabaseConnection) -> Result<Vec<TopicInfo>, Error> {
    let sql = "SELECT name, partitions FROM log_topics ORDER BY name";
    let rows = reader
        .query_all_raw(statement(sql, []))
        .await
        .map_err(unavailable)?;
    rows.iter().map(info).collect()
}

pub async fn describe(reader: &DatabaseConnection, name: &str) -> Result<TopicInfo, Error> {
    let sql = "SELECT name, partitions FROM log_topics WHERE name = ?";
    let row = reader
        .query_one_raw(statement(sql, [Value::from(name)]))
        .await
        .map_err(unavailable)?;
    match row {
        Some(row) => info(&row),
        None => Err(Error::UnknownTopic(name.to_owned())),
    }
}

/// In the order asked.
pub async fn max_message_bytes(
    reader: &DatabaseConnection,
    topics: &[String],
    of_the_log: i64,
) -> Result<Vec<i64>, Error> {
    let mut limits = Vec::with_capacity(topics.len());
    for name in topics {
        let sql = "SELECT max_message_bytes FROM log_topics WHERE name = ?";
        let row = reader
            .query_one_raw(statement(sql, [Value::from(name.clone())]))
            .await
            .map_err(unavailable)?
            .ok_or_else(|| Error::UnknownTopic(name.clone()))?;
        let own: Option<i64> = row.try_get_by_index(0).map_err(unavailable)?;
        limits.push(own.unwrap_or(of_the_log));
    }
    Ok(limits)
}

fn info(row: &QueryResult) -> Result<TopicInfo, Error> {
    Ok(TopicInfo {
        name: row.try_get_by_index(0).map_err(unavailable)?,
        partitions: row.try_get_by_index(1).map_err(unavailable)?,
        replication: 1,
    })
}

pub async fn create(writer: &Writer, topics: &[TopicSpec]) -> Result<(), Error> {
    for topic in topics {
        check(topic)?;
    }
    let transaction = schema::begin(writer).await?;
    for topic in topics {
        let values = [
            Value::from(topic.name.clone()),
            Value::from(topic.partitions),
            Value::from(topic.retention_ms),
            Value::from(topic.max_message_bytes),
        ];
        let sql = "INSERT OR IGNORE INTO log_topics (name, partitions, retention_ms, max_message_bytes) VALUES (?, ?, ?, ?)";
        let done = transaction
            .execute_raw(statement(sql, values))
            .await
            .map_err(unavailable)?;
        if done.rows_affected() == 0 {
            continue;
        }
        for partition in 0..topic.partitions {
            let values = [Value::from(topic.name.clone()), Value::from(partition)];
            let sql =
                "INSERT INTO log_partitions (topic, partition, low, next) VALUES (?, ?, 0, 0)";
            transaction
                .execute_raw(statement(sql, values))
                .await
                .map_err(unavailable)?;
        }
    }
    schema::commit(transaction, Flush::Now).await
}

/// Kafka's own rule for names, so that a topic can move there.
fn check(topic: &TopicSpec) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = &topic.name;
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(fits)
    {
        return Err(Error::Refused(format!(
            "{name:?} is no topic name: 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-'"
        )));
    }
    if !(1..=10_000).contains(&topic.partitions) {
        return Err(Error::Refused(format!(
            "{name} cannot have {} partitions: 1 to 10000",
            topic.partitions
        )));
    }
    Ok(())
}

pub async fn delete(writer: &Writer, name: &str) -> Result<(), Error> {
    let transaction = schema::begin(writer).await?;
    let rows = schema::partitions(&*transaction, &[name.to_owned()]).await?;
    for row in &rows {
        let values = [
            Value::from(record_id(row.id, 0)),
            Value::from(record_id(row.id + 1, 0)),
        ];
        let sql = "DELETE FROM log_records WHERE id >= ? AND id < ?";
        transaction
            .execute_raw(statement(sql, values))
            .await
            .map_err(unavailable)?;
    }
    let mut topics = 0;
    for sql in [
        "DELETE FROM log_groups WHERE topic = ?",
        "DELETE FROM log_partitions WHERE topic = ?",
        "DELETE FROM log_topics WHERE name = ?",
    ] {
        let done = transaction
            .execute_raw(statement(sql, [Value::from(name)]))
            .await
            .map_err(unavailable)?;
        topics = done.rows_affected();
    }
    schema::commit(transaction, Flush::Now).await?;
    match topics {
        0 => Err(Error::UnknownTopic(name.to_owned())),
        _ => Ok(()),
    }
}

/// Of every partition of the topic, in order; empty when there is no such topic.
pub async fn committed(
    reader: &DatabaseConnection,
    group: &str,
    topic: &str,
) -> Result<Vec<(i32, Option<i64>)>, Error> {
    let sql = "SELECT p.partition, g.next_offset FROM log_partitions AS p
               LEFT JOIN log_groups AS g ON g.topic = p.topic AND g.partition = p.partition AND g.name = ?
               WHERE p.topic = ? ORDER BY p.partition";
    let rows = reader
        .query_all_raw(statement(sql, [Value::from(group), Value::from(topic)]))
        .await
        .map_err(unavailable)?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect::<Result<_, _>>()
        .map_err(unavailable)
}

/// Removes from each partition's head what is older than its topic keeps; the number of records removed.
/// Like Kafka, it does not ask whether a group has read them.
pub async fn prune(
    writer: &Writer,
    reader: &DatabaseConnection,
    now_ms: i64,
    batch_max: i64,
) -> Result<u64, Error> {
    let sql = "SELECT name, retention_ms FROM log_topics WHERE retention_ms IS NOT NULL AND retention_ms >= 0";
    let topics = reader
        .query_all_raw(statement(sql, []))
        .await
        .map_err(unavailable)?;
    let mut removed = 0;
    for topic in topics {
        let name: String = topic.try_get_by_index(0).map_err(unavailable)?;
        let retention_ms: i64 = topic.try_get_by_index(1).map_err(unavailable)?;
        let oldest_ms = now_ms.saturating_sub(retention_ms);
        for row in schema::partitions(reader, &[name]).await? {
            removed += prune_partition(writer, reader, &row, oldest_ms, batch_max).await?;
        }
    }
    Ok(removed)
}

async fn prune_partition(
    writer: &Writer,
    reader: &DatabaseConnection,
    row: &PartitionRow,
    oldest_ms: i64,
    batch_max: i64,
) -> Result<u64, Error> {
    let sql = "SELECT id FROM log_records WHERE id >= ? AND id < ? AND timestamp_ms >= ? ORDER BY id LIMIT 1";
    let end = record_id(row.id, row.next);
    let values = [
        Value::from(record_id(row.id, row.low)),
        Value::from(end),
        Value::from(oldest_ms),
    ];
    let kept = reader
        .query_one_raw(statement(sql, values))
        .await
        .map_err(unavailable)?;
    let keep_from = match kept {
        Some(kept) => kept.try_get_by_index(0).map_err(unavailable)?,
        None => end,
    };
    let mut from = record_id(row.id, row.low);
    let mut removed = 0;
    while from < keep_from {
        let to = keep_from.min(from + batch_max.max(1));
        let transaction = schema::begin(writer).await?;
        let sql = "DELETE FROM log_records WHERE id >= ? AND id < ?";
        let done = transaction
            .execute_raw(statement(sql, [Value::from(from), Value::from(to)]))
            .await
            .map_err(unavailable)?;
        let sql = "UPDATE log_partitions SET low = ? WHERE id = ? AND low < ?";
        let low = schema::offset_of(to);
        let values = [Value::from(low), Value::from(row.id), Value::from(low)];
        transaction
            .execute_raw(statement(sql, values))
            .await
            .map_err(unavailable)?;
        schema::commit(transaction, Flush::Shared).await?;
        removed += done.rows_affected();
        from = to;
    }
    Ok(removed)
}
