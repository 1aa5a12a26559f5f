//! Several events as the payload of one row: a JSON array, whose order is theirs, compressed. Topic and shard are the row's.
//! Part of the outbox.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use messaging::outbox::Event;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use zstd::bulk::Compressor;

use super::Error;
use super::rows::traceparent;

/// The column `type` of such rows: the array as a zstd frame (RFC 8878) in base64, for the column holds text.
pub(super) const KIND: &str = "madang.events.zstd";
/// Rows of builds before had the array itself, and are read still.
const PLAIN_KIND: &str = "madang.events";
/// zstd's fastest level but for those that hardly look: events of a batch differ in a few digits, which it finds.
const LEVEL: i32 = 1;

#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    id: Uuid,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'a, str>>,
    created_us: i64,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    headers: Cow<'a, [(String, String)]>,
    /// JSON, as it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    /// Any other payload.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
}

/// # Errors
/// `Error::Other` for a payload that is not UTF-8.
pub(super) fn text(event: &Event) -> Result<&str, Error> {
    std::str::from_utf8(&event.payload)
        .map_err(|e| Error::Other(format!("payload of event {} is not UTF-8: {e}", event.id)))
}

/// The payload of a row of `KIND`.
///
/// # Errors
/// As `text`.
pub(super) fn written(events: &[Event]) -> Result<String, Error> {
    Ok(STANDARD.encode(compressed(&array(events)?).map_err(trouble)?))
}

thread_local! {
    /// A context has large tables, which a new one for each row would ask for and clear.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress(bytes)
    })
}

fn array(events: &[Event]) -> Result<Vec<u8>, Error> {
    let packed = events.iter().map(|event| {
        let text = text(event)?;
        let json = serde_json::from_str::<&RawValue>(text).ok();
        // White space around it would be lost.
        let json = json.filter(|json| json.get().len() == text.len());
        Ok(Packed {
            id: event.id,
            key: event.key.as_str().into(),
            kind: event.kind.as_str().into(),
            seq: event.seq,
            traceparent: traceparent(event).map(Cow::Borrowed),
            created_us: event.created_us,
            headers: event.headers.as_slice().into(),
            payload: json,
            text: json.is_none().then_some(text.into()),
        })
    });
    let packed: Vec<Packed<'_>> = packed.collect::<Result<_, Error>>()?;
    serde_json::to_vec(&packed).map_err(trouble)
}

/// The array of a row of either kind.
fn opened(kind: &str, payload: String) -> Result<Bytes, Error> {
    match kind {
        PLAIN_KIND => Ok(payload.into()),
        KIND => {
            let frame = STANDARD.decode(payload).map_err(trouble)?;
            let json = zstd::stream::decode_all(frame.as_slice()).map_err(trouble)?;
            Ok(json.into())
        }
        other => Err(trouble(format!("their type is {other}"))),
    }
}

fn trouble(cause: impl std::fmt::Display) -> Error {
    Error::Other(format!("events of an outbox row: {cause}"))
}

fn parsed(json: &[u8]) -> Result<Vec<Packed<'_>>, Error> {
    serde_json::from_slice(json).map_err(trouble)
}

/// # Errors
/// `Error::Other` for what `written` has not made.
pub(super) fn read(
    shard: i32,
    topic: &str,
    kind: &str,
    payload: String,
) -> Result<Vec<Event>, Error> {
    let array = opened(kind, payload)?;
    let event = |packed: Packed<'_>| Event {
        id: packed.id,
        shard,
        topic: topic.to_owned(),
        key: packed.key.into_owned(),
        kind: packed.kind.into_owned(),
        payload: match (packed.payload, packed.text) {
            (_, Some(text)) => text.into_owned().into(),
            (Some(json), None) => array.slice_ref(json.get().as_bytes()),
            // Which is JSON, and read as nothing.
            (None, None) => Bytes::from_static(b"null"),
        },
        seq: packed.seq,
        traceparent: packed.traceparent.map(Cow::into_owned),
        headers: packed.headers.into_owned(),
        created_us: packed.created_us,
    };
    Ok(parsed(&array)?.into_iter().map(event).collect())
}

/// The events' numbers.
///
/// # Errors
/// `Error::Other` for what `written` has not made.
pub(super) fn numbers(kind: &str, payload: String) -> Result<Vec<i64>, Error> {
    let array = opened(kind, payload)?;
    let events = parsed(&array)?.into_iter();
    Ok(events.filter_map(|event| event.seq).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let payload = prop_oneof![
            Just("{\"a\":[1,\"b\"]}".to_owned()),
            Just(" {} ".to_owned()),
            Just("null".to_owned()),
            ".{0,20}",
        ];
        let trace = prop::option::of("[0-9a-f-]{55}");
        let header = ("[a-z]{1,4}", ".{0,6}");
        let headers = prop::collection::vec(header, 0..3);
        let event = (
            ".{0,9}",
            payload,
            any::<Option<i64>>(),
            trace,
            headers,
            any::<i64>(),
        );
        let event = event.prop_map(
            |(key, payload, seq, traceparent, headers, created_us)| Event {
                id: Uuid::now_v7(),
                shard: 3,
                topic: "t".into(),
                kind: format!("{key} kind"),
                key,
                payload: payload.into(),
                seq,
                traceparent,
                headers,
                created_us,
            },
        );
        prop::collection::vec(event, 2..6)
    }

    proptest! {
        #[test]
        fn events_come_back_as_they_were_also_those_of_builds_before(events in events()) {
            let plain = String::from_utf8(array(&events).unwrap()).unwrap();
            let seqs: Vec<i64> = events.iter().filter_map(|event| event.seq).collect();
            for (kind, payload) in [(KIND, written(&events).unwrap()), (PLAIN_KIND, plain)] {
                prop_assert_eq!(numbers(kind, payload.clone()).unwrap(), seqs.clone());
                prop_assert_eq!(read(3, "t", kind, payload).unwrap(), events.clone());
            }
        }
    }

    #[test]
    fn what_nobody_wrote_is_told() {
        let told =
            |kind, payload: &str| read(3, "t", kind, payload.into()).unwrap_err().to_string();
        assert!(told("order.completed", "[]").contains("their type is order.completed"));
        assert!(told(PLAIN_KIND, "[{}]").contains("missing field `id`"));
        assert!(told(KIND, "[]").contains("Invalid symbol"));
        assert!(told(KIND, "AAAA").contains("frame"));
    }
}
