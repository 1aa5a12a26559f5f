//! Follow-ups inside the request: the same handlers that consumers run, given the events that would have gone to their topics.
//! Orders call it where a follow-up is switched to inline.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use commerce::order::{FollowUp, InlineFollowUps};
use messaging::consumer::{Event, Handler, Outcome, Verdict};
use messaging::envelope::{CE_ID, Identity, Origin, SEQ};
use messaging::outbox::Row;
use messaging::record::{Headers, Record, TimestampType};

pub struct Inline {
    handlers: Vec<(FollowUp, Arc<dyn Handler>)>,
}

impl Inline {
    pub fn new(handlers: Vec<(FollowUp, Arc<dyn Handler>)>) -> Self {
        Self { handlers }
    }
}

#[async_trait]
impl InlineFollowUps for Inline {
    async fn run(&self, step: FollowUp, events: &[Row]) -> Result<(), String> {
        let handler = self.handlers.iter().find(|(of, _)| *of == step);
        let Some((_, handler)) = handler else {
            return Err(format!("nobody does {step:?} inside the request"));
        };
        let events: Vec<_> = events.iter().map(event).collect();
        match handler.handle(&events).await {
            Verdict::Each(outcomes) => outcomes.into_iter().try_for_each(|outcome| match outcome {
                Outcome::Done => Ok(()),
                Outcome::Retry { failure, .. } | Outcome::Dead(failure) => {
                    Err(format!("{}: {}", failure.kind, failure.message))
                }
            }),
            Verdict::RetryAll(failure) | Verdict::Suspect(failure) => {
                Err(format!("{}: {}", failure.kind, failure.message))
            }
            Verdict::Rewind { .. } => Err("its store has lost earlier effects".to_owned()),
        }
    }
}

/// The event as it would have been read from its topic. It lies nowhere: partition and offset say nothing.
fn event(row: &Row) -> Event {
    let mut headers = Headers::new();
    headers.append(CE_ID, row.id.to_string());
    if let Some(seq) = row.seq {
        headers.append(SEQ, seq.to_string());
    }
    for (name, value) in &row.headers {
        headers.append(name.clone(), value.clone());
    }
    let origin = Origin {
        topic: row.topic.clone(),
        partition: 0,
        offset: 0,
    };
    let identity = match row.seq {
        Some(seq) => Identity::Seq(seq),
        None => Identity::Foreign(row.id.to_string()),
    };
    Event {
        record: Record {
            topic: row.topic.clone(),
            partition: 0,
            offset: 0,
            timestamp_ms: row.created_us / 1_000,
            timestamp_type: TimestampType::CreateTime,
            key: Some(Bytes::copy_from_slice(row.key.as_bytes())),
            value: Some(row.payload.clone()),
            headers,
        },
        identity,
        origin,
        attempt: 1,
    }
}
