//! Reading records of one partition, bounded by count and by bytes.
//! Used by group members and by reads outside groups.

use bytes::Bytes;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use crate::log::Error;
use crate::record::{Record, TimestampType, TopicPartition};

use super::headers;
use super::schema::{offset_of, record_id, statement, unavailable};

/// `length` reads no blob, so the inner query is cheap; the outer one reads only what fits (and always the first record).
const PAGE: &str = "\
SELECT r.id, r.timestamp_ms, r.key, r.value, r.headers FROM (
    SELECT id, SUM(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - size AS before FROM (
        SELECT id, COALESCE(length(key), 0) + COALESCE(length(value), 0) + COALESCE(length(headers), 0) AS size
        FROM log_records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?
    )
) AS head JOIN log_records AS r ON r.id = head.id WHERE head.before < ? ORDER BY head.id";

/// Records from `offset` on, at most `max` and about `bytes_max` bytes of them, at least one if there is one.
pub async fn page<C: ConnectionTrait>(
    connection: &C,
    partition_id: i64,
    at: &TopicPartition,
    offset: i64,
    max: usize,
    bytes_max: usize,
) -> Result<Vec<Record>, Error> {
    let values = [
        Value::from(record_id(partition_id, offset)),
        Value::from(record_id(partition_id + 1, 0)),
        Value::from(i64::try_from(max).unwrap_or(i64::MAX)),
        Value::from(i64::try_from(bytes_max).unwrap_or(i64::MAX)),
    ];
    let rows = connection
        .query_all_raw(statement(PAGE, values))
        .await
        .map_err(unavailable)?;
    rows.iter()
        .map(|row| record(row, at))
        .collect::<Result<_, _>>()
        .map_err(unavailable)
}

fn record(row: &QueryResult, at: &TopicPartition) -> Result<Record, DbErr> {
    let id: i64 = row.try_get_by_index(0)?;
    let key: Option<Vec<u8>> = row.try_get_by_index(2)?;
    let value: Option<Vec<u8>> = row.try_get_by_index(3)?;
    let headers = headers::decode(row.try_get_by_index(4)?)
        .ok_or_else(|| DbErr::Type(format!("headers of record {id} of {at} are damaged")))?;
    Ok(Record {
        topic: at.topic.clone(),
        partition: at.partition,
        offset: offset_of(id),
        timestamp_ms: row.try_get_by_index(1)?,
        timestamp_type: TimestampType::CreateTime,
        key: key.map(Bytes::from),
        value: value.map(Bytes::from),
        headers,
    })
}
