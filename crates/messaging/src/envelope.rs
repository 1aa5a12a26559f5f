//! The headers every event carries, and how an incoming record is told apart from every other.
//! CloudEvents binary mode, spring-kafka's type header, one traceparent, and a dense number per event type.
//! The relay and producers write them; the consumer runtime reads them.

use std::fmt::{Display, Write};

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::record::{HeaderName, Headers, Record};

/// UTF-8 of the class name or token, as spring-kafka's JSON deserializer reads it.
pub const TYPE_ID: &str = "__TypeId__";
/// The dense number of the event within its type, decimal; what deduplication notes are keyed by.
pub const SEQ: &str = "madang-seq";
pub const TRACEPARENT: &str = "traceparent";
pub const CE_ID: &str = "ce_id";
const CE_SPECVERSION: &str = "ce_specversion";
const CE_TYPE: &str = "ce_type";
const CE_SOURCE: &str = "ce_source";
const CE_TIME: &str = "ce_time";
const CONTENT_TYPE: &str = "content-type";

/// Names of the headers that every event of a shop carries.
const KNOWN: [&str; 9] = [
    TYPE_ID,
    CE_SPECVERSION,
    CE_ID,
    CE_TYPE,
    CE_SOURCE,
    CE_TIME,
    CONTENT_TYPE,
    SEQ,
    TRACEPARENT,
];

/// These, and one or two of the event's own.
const HEADERS_MAX: usize = 12;

/// Of an id, a time and a number, which share one allocation.
const TEXTS_BYTES: usize = 36 + 30 + 20;

/// The `traceparent` of a trace that begins with the event. Not sampled: nobody has recorded where it begins.
#[must_use]
pub fn fresh_traceparent() -> String {
    format!(
        "00-{:032x}-{:016x}-00",
        fastrand::u128(1..),
        fastrand::u64(1..)
    )
}

/// What the headers of one event say.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub id: Uuid,
    /// CloudEvents type such as `order.completed`.
    pub kind: Bytes,
    /// Value of `__TypeId__`.
    pub type_id: Bytes,
    /// CloudEvents source, a URI reference such as `/madang`.
    pub source: Bytes,
    pub time: jiff::Timestamp,
    pub seq: Option<i64>,
    /// W3C trace context; `None` leaves the header out only when the log's user has none to give.
    pub traceparent: Option<String>,
}

impl Envelope {
    #[must_use]
    pub fn headers(self) -> Headers {
        let mut headers = Headers::with_capacity(HEADERS_MAX);
        let mut texts = BytesMut::with_capacity(TEXTS_BYTES);
        let mut text = |value: &dyn Display| {
            // Memory is all that it can lack.
            let _ = write!(texts, "{value}");
            texts.split().freeze()
        };
        headers.append(TYPE_ID, self.type_id);
        headers.append(CE_SPECVERSION, "1.0");
        headers.append(CE_ID, text(&self.id));
        headers.append(CE_TYPE, self.kind);
        headers.append(CE_SOURCE, self.source);
        headers.append(CE_TIME, text(&self.time));
        headers.append(CONTENT_TYPE, "application/json");
        if let Some(seq) = self.seq {
            headers.append(SEQ, text(&seq));
        }
        if let Some(traceparent) = self.traceparent {
            headers.append(TRACEPARENT, traceparent);
        }
        headers
    }
}

/// A name that was read, without a copy where it is one that events carry.
#[must_use]
pub fn header_name(name: &str) -> HeaderName {
    let known = KNOWN.iter().find(|known| **known == name);
    known.map_or_else(|| name.to_owned().into(), |known| (*known).into())
}

/// What makes a record the same record when it is delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// Ours: the dense number of its event type.
    Seq(i64),
    /// Anybody's: `ce_id`, or else `topic-partition@offset` of where it was first written (kept through retries).
    Foreign(String),
}

impl Identity {
    /// A negative or unreadable number is not one of ours.
    #[must_use]
    pub fn of(record: &Record, first: &Origin) -> Self {
        if let Some(seq) = record.headers.text(SEQ).and_then(|s| s.parse().ok())
            && seq >= 0
        {
            return Self::Seq(seq);
        }
        match record.headers.text(CE_ID) {
            Some(id) if !id.is_empty() && id.len() <= 200 => Self::Foreign(id.to_owned()),
            _ => Self::Foreign(format!(
                "{}-{}@{}",
                first.topic, first.partition, first.offset
            )),
        }
    }
}

/// Where a record was first written, before any retry or dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}
