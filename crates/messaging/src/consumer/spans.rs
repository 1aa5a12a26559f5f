//! The tracing spans of a batch and of its records; the binary joins them to the traces that the records name.
//! No exporter, no context: only the field `traceparent`.
//! The worker opens them around the handler's call.

use tracing::Span;

use super::Event;
use crate::envelope::TRACEPARENT;
use crate::record::TopicPartition;

/// A span for the batch and, held open beside it, one for each record that belongs to a trace. The batch follows from all of them.
pub(super) fn spans(
    consumer: &str,
    partition: &TopicPartition,
    events: &[Event],
) -> (Span, Vec<Span>) {
    let first = events.first().map(|event| &event.record);
    let traceparent = first.and_then(|record| record.headers.text(TRACEPARENT));
    let offset = first.map(|record| record.offset);
    let batch = tracing::info_span!("consume", consumer, %partition, offset, records = events.len(), traceparent);
    if batch.is_disabled() || events.len() < 2 {
        return (batch, Vec::new());
    }
    let records: Vec<Span> = events
        .iter()
        .filter_map(|event| {
            let record = &event.record;
            let traceparent = record.headers.text(TRACEPARENT)?;
            Some(tracing::info_span!(parent: None, "consume record", consumer, %partition, offset = record.offset, traceparent))
        })
        .collect();
    for record in &records {
        batch.follows_from(record);
    }
    (batch, records)
}
