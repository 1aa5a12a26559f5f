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

    /// Of a record on one of our retry topics, the redrive topic among them. Somebody else's record there counts as fresh; a dead
    /// letter of ours that was copied there by any other tool is still the same record.
    pub fn on_retry_topic(record: &Record, group: &str) -> Self {
        let headers = &record.headers;
        let known = first(headers, &ON_RETRY).or_else(|| {
            let ours = headers.text(GROUP) == Some(group);
            first(headers, &ON_DEAD_LETTER).filter(|_| ours)
        });
        match known {
            Some(journey) => Self {
                attempt: coming(headers).unwrap_or(1),
                ..journey
            },
            None => Self::fresh(record),
        }
    }

    /// Of a dead letter: as its group knew it, whatever has been done with it since.
    pub fn of_dead_letter(record: &Record) -> Self {
        let headers = &record.headers;
        let known = first(headers, &ON_DEAD_LETTER).or_else(|| first(headers, &ON_RETRY));
        Self {
            attempt: coming(headers).map_or(1, |next| next.saturating_sub(1).max(1)),
            ..known.unwrap_or_else(|| Self::fresh(record))
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

/// The number of the next delivery, at least 1.
fn coming(headers: &Headers) -> Option<u32> {
    let next = read_i32(headers.get(ATTEMPTS))?;
    Some(u32::try_from(next).unwrap_or(1).max(1))
}

/// When a record on a retry topic is due, in milliseconds since the epoch, by its headers.
pub(crate) fn due_ms(headers: &Headers) -> Option<i64> {
    read_big_integer(headers.get(DUE_TIMESTAMP)?)
}

/// Kind and message of the failure that made it a dead letter.
pub(crate) fn cause(headers: &Headers) -> (Option<&str>, Option<&str>) {
    let names = &ON_DEAD_LETTER;
    let kind = headers.text(names.cause_fqcn);
    // Other producers name a wrapper in the one and leave out the other where there was no cause.
    let kind = kind.or_else(|| headers.text(names.fqcn));
    (kind, headers.text(names.message))
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
    // A record that comes back again and again would grow by what it says already.
    if !names_newest(&headers, journey) {
        headers.append(names.topic, journey.origin.topic.clone());
        headers.append(names.partition, be_i32(journey.origin.partition));
        headers.append(names.offset, be_i64(journey.origin.offset));
        headers.append(names.timestamp, be_i64(journey.timestamp_ms));
        headers.append(names.timestamp_type, journey.timestamp_type.clone());
    }
    if headers.text(GROUP) != Some(handing.group) {
        headers.append(GROUP, handing.group.to_owned());
    }
    remove_failure(&mut headers, &ON_RETRY);
    write_failure(&mut headers, names, record, handing);
    write_progress(&mut headers, journey, handing.attempt, now_ms);
    headers
}

/// Headers of a dead letter on its way back to its group: where it first lay, and the count of its deliveries goes on. Why it
/// failed stays with the dead letter.
pub(crate) fn redriven_headers(record: &Record, journey: &Journey, group: &str) -> Headers {
    let mut headers = record.headers.clone();
    replace_original(&mut headers, journey);
    headers.replace(GROUP, group.to_owned());
    remove_failure(&mut headers, &ON_DEAD_LETTER);
    headers.replace(ATTEMPTS, be_i32(next_attempt(journey.attempt)));
    headers.remove(DUE_TIMESTAMP);
    headers
}

/// Headers of the record as it was before its own topic refused it.
pub(crate) fn unrefused_headers(mut headers: Headers) -> Headers {
    headers.remove(ON_DEAD_LETTER.topic);
    remove_failure(&mut headers, &ON_DEAD_LETTER);
    headers
}

fn remove_failure(headers: &mut Headers, names: &Names) {
    for name in [
        names.fqcn,
        names.cause_fqcn,
        names.message,
        names.stacktrace,
    ] {
        headers.remove(name);
    }
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

fn names_newest(headers: &Headers, journey: &Journey) -> bool {
    let names = &ON_DEAD_LETTER;
    let Origin {
        topic,
        partition,
        offset,
    } = &journey.origin;
    headers.text(names.topic) == Some(topic)
        && headers.get(names.partition) == Some(&be_i32(*partition))
        && headers.get(names.offset) == Some(&be_i64(*offset))
        && headers.get(names.timestamp) == Some(&be_i64(journey.timestamp_ms))
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
    headers.replace(ATTEMPTS, be_i32(next_attempt(attempt)));
    headers.replace(FIRST_TIMESTAMP, big_integer(journey.timestamp_ms));
    headers.replace(DUE_TIMESTAMP, big_integer(due_ms));
}

fn next_attempt(attempt: u32) -> i32 {
    i32::try_from(attempt.saturating_add(1)).unwrap_or(i32::MAX)
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

/// As Java reads it; `None` when it has no byte or more than fit.
fn read_big_integer(bytes: &Bytes) -> Option<i64> {
    let first = *bytes.first()?;
    let start = 8_usize.checked_sub(bytes.len())?;
    let mut all = [if first & 0x80 == 0 { 0x00 } else { 0xff }; 8];
    all[start..].copy_from_slice(bytes);
    Some(i64::from_be_bytes(all))
}

#[cfg(test)]
#[path = "journey_tests.rs"]
mod tests;
