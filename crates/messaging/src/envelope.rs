//! The headers every event carries, and how an incoming record is told apart from every other.
//! CloudEvents binary mode, spring-kafka's type header, one traceparent, and a dense number per event type.
//! The relay and producers write them; the consumer runtime reads them.

use uuid::Uuid;

use crate::record::{Headers, Record};

/// UTF-8 of the class name or token, as spring-kafka's JSON deserializer reads it.
pub const TYPE_ID: &str = "__TypeId__";
/// The dense number of the event within its type, decimal; what deduplication notes are keyed by.
pub const SEQ: &str = "madang-seq";
pub const TRACEPARENT: &str = "traceparent";
pub const CE_ID: &str = "ce_id";

/// What the headers of one event say.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub id: Uuid,
    /// CloudEvents type such as `order.completed`.
    pub kind: String,
    /// Value of `__TypeId__`.
    pub type_id: String,
    /// CloudEvents source, a URI reference such as `/madang`.
    pub source: String,
    pub time: jiff::Timestamp,
    pub seq: Option<i64>,
    /// W3C trace context; `None` leaves the header out only when the log's user has none to give.
    pub traceparent: Option<String>,
}

impl Envelope {
    #[must_use]
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        headers.append(TYPE_ID, self.type_id.clone());
        headers.append("ce_specversion", "1.0");
        headers.append(CE_ID, self.id.to_string());
        headers.append("ce_type", self.kind.clone());
        headers.append("ce_source", self.source.clone());
        headers.append("ce_time", self.time.to_string());
        headers.append("content-type", "application/json");
        if let Some(seq) = self.seq {
            headers.append(SEQ, seq.to_string());
        }
        if let Some(traceparent) = &self.traceparent {
            headers.append(TRACEPARENT, traceparent.clone());
        }
        headers
    }
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
