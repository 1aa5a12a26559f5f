//! From an event of the outbox to a record of the log, and to a dead letter when the log refuses it.
//! Pure but for the trace id it draws where an event has none.
//! The relay calls it for each event it publishes.

use bytes::Bytes;

use super::Settings;
use crate::consumer::Failure;
use crate::consumer::journey;
use crate::envelope::{Envelope, TRACEPARENT, fresh_traceparent};
use crate::log::TopicSpec;
use crate::outbox::Event;
use crate::record::Outgoing;

const FAILURE_BYTES_MAX: usize = 8 * 1024;

/// Where an event goes whose topic refuses it for good.
#[must_use]
pub fn dead_letter_topic(topic: &str) -> String {
    crate::consumer::dead_letter_topic(topic, "outbox")
}

/// The dead-letter topic that the relay needs beside this one.
#[must_use]
pub fn required_topics(source: &TopicSpec) -> Vec<TopicSpec> {
    vec![crate::consumer::with_headroom(
        source,
        dead_letter_topic(&source.name),
    )]
}

pub(super) fn outgoing(event: &Event, settings: &Settings) -> Outgoing {
    // One kind may go to several topics, whose readers know it by different classes.
    let by_topic = settings.type_ids.get(&event.topic);
    let type_id = by_topic
        .or_else(|| settings.type_ids.get(&event.kind))
        .cloned()
        .unwrap_or_else(|| event.kind.clone().into());
    let envelope = Envelope {
        id: event.id,
        kind: event.kind.clone().into(),
        type_id,
        source: settings.source.clone(),
        time: jiff::Timestamp::from_microsecond(event.created_us).unwrap_or_default(),
        seq: event.seq,
        traceparent: Some(traceparent(event)),
    };
    let mut headers = envelope.headers();
    for (name, value) in &event.headers {
        if name != TRACEPARENT {
            headers.append(name.clone(), value.clone().into_bytes());
        }
    }
    Outgoing {
        topic: event.topic.clone(),
        partition: None,
        key: Some(Bytes::copy_from_slice(event.key.as_bytes())),
        value: Some(event.payload.clone()),
        headers,
        timestamp_ms: None,
    }
}

pub(super) fn dead_letter(
    event: &Event,
    settings: &Settings,
    error: &crate::log::Error,
) -> Outgoing {
    let record = outgoing(event, settings);
    let failure = Failure::new("EventLogRefused", error.to_string());
    Outgoing {
        topic: dead_letter_topic(&event.topic),
        headers: journey::refused_headers(
            record.headers,
            &event.topic,
            &failure,
            FAILURE_BYTES_MAX,
        ),
        ..record
    }
}

/// The event's own, or a header's, or a fresh one: each record has exactly one that is valid.
fn traceparent(event: &Event) -> String {
    let header = event
        .headers
        .iter()
        .rev()
        .find(|(name, _)| name == TRACEPARENT);
    event
        .traceparent
        .as_deref()
        .into_iter()
        .chain(header.map(|(_, value)| value.as_str()))
        .find(|value| is_traceparent(value))
        .map_or_else(fresh_traceparent, ToOwned::to_owned)
}

/// W3C trace context, version 00: lower-case hex, neither id all zeros.
fn is_traceparent(value: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    let mut parts = value.split('-');
    let mut part = || parts.next().unwrap_or_default();
    let (version, trace, span, flags) = (part(), part(), part(), part());
    let fits = version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    fits && some(trace) && some(span) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn event(traceparent: Option<&str>, headers: Vec<(String, String)>) -> Event {
        Event {
            id: Uuid::now_v7(),
            shard: 0,
            topic: "t".into(),
            key: "7".into(),
            kind: "order.completed".into(),
            payload: "{}".into(),
            seq: Some(9),
            traceparent: traceparent.map(Into::into),
            headers,
            created_us: 1_700_000_000_123_456,
        }
    }

    #[test]
    fn an_event_becomes_a_record_with_its_envelope() {
        let settings = Settings {
            type_ids: [("order.completed".to_owned(), "com.Order".into())].into(),
            ..Settings::default()
        };
        let event = event(None, vec![("x".into(), "1".into())]);
        let record = outgoing(&event, &settings);
        assert_eq!(record.topic, "t");
        assert_eq!(record.key.as_deref(), Some("7".as_bytes()));
        let text = |name| record.headers.text(name);
        assert_eq!(text("__TypeId__"), Some("com.Order"));
        assert_eq!(text("ce_type"), Some("order.completed"));
        assert_eq!(text("ce_id"), Some(event.id.to_string().as_str()));
        assert_eq!(text("ce_time"), Some("2023-11-14T22:13:20.123456Z"));
        assert_eq!(text("madang-seq"), Some("9"));
        assert_eq!(text("x"), Some("1"));
    }

    proptest! {
        #[test]
        fn exactly_one_valid_traceparent(own in prop::option::of("[0-9a-f-]{0,60}"), other in prop::option::of("[0-9a-f-]{0,60}")) {
            let headers = other.map(|value| (TRACEPARENT.to_owned(), value)).into_iter().collect();
            let record = outgoing(&event(own.as_deref(), headers), &Settings::default());
            let found: Vec<_> = record.headers.iter().filter(|(name, _)| *name == TRACEPARENT).collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert!(is_traceparent(record.headers.text(TRACEPARENT).unwrap_or_default()));
        }
    }

    #[test]
    fn its_own_trace_goes_on() {
        let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let header = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = vec![(TRACEPARENT.to_owned(), header.to_owned())];
        let of = |event: Event| {
            outgoing(&event, &Settings::default())
                .headers
                .text(TRACEPARENT)
                .map(ToOwned::to_owned)
        };
        assert_eq!(of(event(Some(own), headers.clone())).as_deref(), Some(own));
        assert_eq!(
            of(event(Some("nonsense"), headers)).as_deref(),
            Some(header)
        );
    }
}
