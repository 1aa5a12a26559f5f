//! The headers of a record that is retried or dead: where it first lay, how often it was delivered, why it failed.
//! Names and layouts are spring-kafka's, so that its tools read ours; values in `springDeserializerException*` are never read.
//! The worker writes them and reads them back; pure functions over headers.

use bytes::Bytes;

use super::Failure;
use crate::envelope::Origin;
use crate::record::{Headers, Record};

pub const ATTEMPTS: &str = "retry_topic-attempts";
pub const FIRST_TIMESTAMP: &str = "retry_topic-original-timestamp";
pub const DUE_TIMESTAMP: &str = "retry_topic-backoff-timestamp";
/// The one header that is named alike on retry topics and dead-letter topics.
pub const GROUP: &str = "kafka_dlt-original-consumer-group";

/// The names of one family: retry topics' or dead-letter topics'.
struct Names {
    topic: &'static str,
    partition: &'static str,
    offset: &'static str,
    timestamp: &'static str,
    timestamp_type: &'static str,
    fqcn: &'static str,
    cause_fqcn: &'static str,
    message: &'static str,
    stacktrace: &'static str,
}

const ON_RETRY: Names = Names {
    topic: "kafka_original-topic",
    partition: "kafka_original-partition",
    offset: "kafka_original-offset",
    timestamp: "kafka_original-timestamp",
    timestamp_type: "kafka_original-timestamp-type",
    fqcn: "kafka_exception-fqcn",
    cause_fqcn: "kafka_exception-cause-fqcn",
    message: "kafka_exception-message",
    stacktrace: "kafka_exception-stacktrace",
};

const ON_DEAD_LETTER: Names = Names {
    topic: "kafka_dlt-original-topic",
    partition: "kafka_dlt-original-partition",
    offset: "kafka_dlt-original-offset",
    timestamp: "kafka_dlt-original-timestamp",
    timestamp_type: "kafka_dlt-original-timestamp-type",
    fqcn: "kafka_dlt-exception-fqcn",
    cause_fqcn: "kafka_dlt-exception-cause-fqcn",
    message: "kafka_dlt-exception-message",
    stacktrace: "kafka_dlt-exception-stacktrace",
};

/// A record's way here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Journey {
    pub origin: Origin,
    pub timestamp_ms: i64,
    pub timestamp_type: String,
    /// Deliveries so far, this one included.
    pub attempt: u32,
}

impl Journey {
    /// Of a record that has just been written where it lies.
    pub fn fresh(record: &Record) -> Self {
        Self {
            origin: Origin {
                topic: record.topic.clone(),
                partition: record.partition,
                offset: record.offset,
            },
            timestamp_ms: record.timestamp_ms,
            timestamp_type: record.timestamp_type.name().to_owned(),
            attempt: 1,
        }
    }

    /// Of a record on one of our retry topics. Somebody else's record there counts as fresh.
    pub fn on_retry_topic(record: &Record) -> Self {
        let fresh = Self::fresh(record);
        Self {
            attempt: read_i32(record.headers.get(ATTEMPTS)).map_or(1, |n| n.max(1) as u32),
            ..first(&record.headers, &ON_RETRY).unwrap_or(fresh)
        }
    }

    /// Of a record on a source topic: one that our group has dead-lettered before and an operator has sent back keeps its origin,
    /// so that it stays the same record. Headers of other groups are theirs and say nothing about us.
    pub fn on_source(record: &Record, group: &str, is_source: impl Fn(&str) -> bool) -> Self {
        let ours = record.headers.text(GROUP) == Some(group);
        first(&record.headers, &ON_DEAD_LETTER)
            .filter(|journey| ours && is_source(&journey.origin.topic))
            .unwrap_or_else(|| Self::fresh(record))
    }
}

/// The first value of each original-* header; later ones were appended on later journeys.
fn first(headers: &Headers, names: &Names) -> Option<Journey> {
    let value = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| *n == name)
            .and_then(|(_, v)| v)
    };
    let text = |name| value(name).and_then(|v| std::str::from_utf8(v).ok());
    Some(Journey {
        origin: Origin {
            topic: text(names.topic)?.to_owned(),
            partition: read_i32(value(names.partition))?,
            offset: read_i64(value(names.offset))?,
        },
        timestamp_ms: read_i64(value(names.timestamp))?,
        timestamp_type: text(names.timestamp_type)?.to_owned(),
        attempt: 1,
    })
}

fn read_i32(value: Option<&Bytes>) -> Option<i32> {
    Some(i32::from_be_bytes(value?.as_ref().try_into().ok()?))
}

fn read_i64(value: Option<&Bytes>) -> Option<i64> {
    Some(i64::from_be_bytes(value?.as_ref().try_into().ok()?))
}

/// Who gives a record on, and why.
pub(crate) struct Handing<'a> {
    pub consumer: &'a str,
    pub group: &'a str,
    pub failure: &'a Failure,
    /// Deliveries so far.
    pub attempt: u32,
    /// Bytes that the exception headers may take.
    pub failure_bytes_max: usize,
}

/// Headers of the record on its next retry topic, due there at `due_ms` (milliseconds since the epoch).
pub(crate) fn retry_headers(
    record: &Record,
    journey: &Journey,
    handing: &Handing<'_>,
    due_ms: i64,
) -> Headers {
    let mut headers = record.headers.clone();
    replace_original(&mut headers, journey);
    headers.replace(GROUP, handing.group.to_owned());
    write_failure(&mut headers, &ON_RETRY, record, handing);
    write_progress(&mut headers, journey, handing.attempt, due_ms);
    headers
}

/// Headers of the record on its dead-letter topic. `original-*` are appended, so that the last is the newest; for a record that
/// came over retry topics that is where it entered them, not the retry topic.
pub(crate) fn dead_letter_headers(
    record: &Record,
    journey: &Journey,
    handing: &Handing<'_>,
    now_ms: i64,
) -> Headers {
    let mut headers = record.headers.clone();
    let names = &ON_DEAD_LETTER;
    headers.append(names.topic, journey.origin.topic.clone());
    headers.append(names.partition, be_i32(journey.origin.partition));
    headers.append(names.offset, be_i64(journey.origin.offset));
    headers.append(names.timestamp, be_i64(journey.timestamp_ms));
    headers.append(names.timestamp_type, journey.timestamp_type.clone());
    if headers.text(GROUP) != Some(handing.group) {
        headers.append(GROUP, handing.group.to_owned());
    }
    for name in [
        ON_RETRY.fqcn,
        ON_RETRY.cause_fqcn,
        ON_RETRY.message,
        ON_RETRY.stacktrace,
    ] {
        headers.remove(name);
    }
    write_failure(&mut headers, names, record, handing);
    write_progress(&mut headers, journey, handing.attempt, now_ms);
    headers
}

/// Headers of a record that its own topic refused, before it lay anywhere: it has a topic it was meant for, and no offset.
pub(crate) fn refused_headers(
    mut headers: Headers,
    topic: &str,
    failure: &Failure,
    failure_bytes_max: usize,
) -> Headers {
    let names = &ON_DEAD_LETTER;
    let kind = cut(&failure.kind, failure_bytes_max);
    headers.append(names.topic, topic.to_owned());
    headers.replace(names.fqcn, kind.to_owned());
    headers.replace(names.cause_fqcn, kind.to_owned());
    headers.replace(
        names.message,
        cut(&failure.message, failure_bytes_max).to_owned(),
    );
    headers
}

fn replace_original(headers: &mut Headers, journey: &Journey) {
    let names = &ON_RETRY;
    headers.replace(names.topic, journey.origin.topic.clone());
    headers.replace(names.partition, be_i32(journey.origin.partition));
    headers.replace(names.offset, be_i64(journey.origin.offset));
    headers.replace(names.timestamp, be_i64(journey.timestamp_ms));
    headers.replace(names.timestamp_type, journey.timestamp_type.clone());
}

fn write_progress(headers: &mut Headers, journey: &Journey, attempt: u32, due_ms: i64) {
    let coming = i32::try_from(attempt.saturating_add(1)).unwrap_or(i32::MAX);
    headers.replace(ATTEMPTS, be_i32(coming));
    headers.replace(FIRST_TIMESTAMP, big_integer(journey.timestamp_ms));
    headers.replace(DUE_TIMESTAMP, big_integer(due_ms));
}

fn write_failure(headers: &mut Headers, names: &Names, record: &Record, handing: &Handing<'_>) {
    let failure = handing.failure;
    // Names, kinds twice, and the message twice (the trace repeats it) share what there is.
    let share = handing.failure_bytes_max / 4;
    let kind = cut(&failure.kind, share.min(256));
    let message = cut(&failure.message, share);
    let trace = format!(
        "{kind}: {message}\n\tat {} of {} ({}-{}@{}, delivery {})",
        handing.consumer,
        handing.group,
        record.topic,
        record.partition,
        record.offset,
        handing.attempt,
    );
    headers.replace(names.fqcn, kind.to_owned());
    headers.replace(names.cause_fqcn, kind.to_owned());
    headers.replace(names.message, message.to_owned());
    headers.replace(names.stacktrace, cut(&trace, share * 2).to_owned());
}

/// The longest prefix of whole characters within so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn be_i32(value: i32) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

fn be_i64(value: i64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

/// What Java's `BigInteger.valueOf(value).toByteArray()` gives: two's complement, big-endian, no byte too many.
fn big_integer(value: i64) -> Bytes {
    let bytes = value.to_be_bytes();
    let filler = if value < 0 { 0xff } else { 0x00 };
    let mut start = 0;
    while start < 7 && bytes[start] == filler && (bytes[start + 1] & 0x80 == filler & 0x80) {
        start += 1;
    }
    Bytes::copy_from_slice(&bytes[start..])
}

#[cfg(test)]
#[path = "journey_tests.rs"]
mod tests;
