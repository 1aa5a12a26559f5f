//! The tracing spans of a batch and of those of its records that somebody traces, joined to the traces that the records name.
//! No exporter, no context: how a span is joined is told by the settings.
//! The worker opens them around the handler's call.

use tracing::Span;

use super::Event;
use super::settings::Settings;
use crate::envelope::TRACEPARENT;
use crate::record::{Record, TopicPartition};

/// A span for the batch and, held open beside it, one for each record of a sampled trace. The batch follows from all of them;
/// a record alone is its batch.
pub(super) fn spans(
    settings: &Settings,
    partition: &TopicPartition,
    events: &[Event],
) -> (Span, Vec<Span>) {
    let consumer = settings.name.as_str();
    let offset = events.first().map(|event| event.record.offset);
    let batch =
        tracing::info_span!("consume", consumer, %partition, offset, records = events.len());
    let Some(join) = settings.join_trace.filter(|_| !batch.is_disabled()) else {
        return (batch, Vec::new());
    };
    if let [event] = events {
        if let Some(traceparent) = sampled(&event.record) {
            join(&batch, traceparent);
        }
        return (batch, Vec::new());
    }
    let mut records = Vec::new();
    for event in events {
        let record = &event.record;
        if let Some(traceparent) = sampled(record) {
            let offset = record.offset;
            let span =
                tracing::info_span!(parent: None, "consume record", consumer, %partition, offset);
            join(&span, traceparent);
            batch.follows_from(&span);
            records.push(span);
        }
    }
    (batch, records)
}

/// The record's trace where it is recorded: only then is a span of its own worth what it costs, thousands of times a second.
fn sampled(record: &Record) -> Option<&str> {
    let traceparent = record.headers.text(TRACEPARENT)?;
    is_sampled(traceparent).then_some(traceparent)
}

fn is_sampled(traceparent: &str) -> bool {
    let flags = traceparent.rsplit('-').next();
    flags
        .and_then(|flags| u8::from_str_radix(flags, 16).ok())
        .is_some_and(|flags| flags & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sampled_traces_are_recorded() {
        let with =
            |flags: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        assert!(is_sampled(&with("01")) && is_sampled(&with("03")));
        assert!(!is_sampled(&with("00")) && !is_sampled(&with("zz")) && !is_sampled(""));
    }
}
