//! Records that leave their partition for a retry or dead-letter topic: as raw bytes, with headers that say where from and why.
//! A record counts as settled once the other topic has it, never before.
//! Part of the worker; which record leaves is `settle`'s decision.

use tokio::time::Instant;

use super::journey::{self, Handing, Journey};
use super::route::Next;
use super::worker::{Worker, journey_of, now_ms};
use super::{Event, Failure, meters};
use crate::log;
use crate::record::{Headers, Outgoing, Record};

/// A record on its way to another topic, and its place among the events at hand.
pub(super) struct Leaving {
    at: usize,
    outgoing: Outgoing,
    dead: bool,
}

impl Worker {
    fn journey(&self, record: &Record) -> Journey {
        journey_of(record, &self.station, &self.shared)
    }

    /// It is due there after `wait_ms`.
    pub(super) fn to_retry(
        &self,
        at: usize,
        next: Next,
        failure: &Failure,
        wait_ms: u64,
    ) -> Leaving {
        let event = &self.events[at];
        let due_ms = now_ms().saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        let handing = self.handing(event, failure);
        let headers = journey::retry_headers(
            &event.record,
            &self.journey(&event.record),
            &handing,
            due_ms,
        );
        Leaving {
            at,
            outgoing: outgoing(&event.record, next.topic, headers),
            dead: false,
        }
    }

    pub(super) fn to_dead_letter(&self, at: usize, failure: &Failure) -> Leaving {
        let event = &self.events[at];
        let record = &event.record;
        // On a source topic the newest place counts, also of a record that was sent back there.
        let journey = if self.station.is_retry() {
            self.journey(record)
        } else {
            Journey::fresh(record)
        };
        let headers =
            journey::dead_letter_headers(record, &journey, &self.handing(event, failure), now_ms());
        let topic = self.shared.routes.dead_letter(&self.station);
        tracing::warn!(
            consumer = self.shared.settings.name, partition = %self.partition, offset = record.offset,
            kind = failure.kind, error = failure.message, to = topic, "record is dead",
        );
        Leaving {
            at,
            outgoing: outgoing(record, topic, headers),
            dead: true,
        }
    }

    fn handing<'a>(&'a self, event: &Event, failure: &'a Failure) -> Handing<'a> {
        let settings = &self.shared.settings;
        Handing {
            consumer: &settings.name,
            group: &settings.group,
            failure,
            attempt: event.attempt,
            failure_bytes_max: settings.failure_bytes_max,
        }
    }

    /// Publishes until every record is taken, for nothing may be skipped; false when stopped before that.
    pub(super) async fn give_on(&self, mut leaving: Vec<Leaving>, settled: &mut [bool]) -> bool {
        let settings = &self.shared.settings;
        let mut failures = 0;
        while !leaving.is_empty() {
            let batch = leaving
                .iter()
                .map(|leaving| leaving.outgoing.clone())
                .collect();
            let mut results = self.shared.log.publish(batch).await.into_iter();
            let mut failed = None;
            leaving.retain_mut(|record| match results.next() {
                Some(Ok(_)) => {
                    settled[record.at] = true;
                    self.count(record);
                    false
                }
                Some(Err(error)) => {
                    if !error.is_transient() {
                        // Its topic may have fewer partitions than the source: let the log choose one.
                        record.outgoing.partition = None;
                    }
                    failed = Some((record.outgoing.topic.clone(), error));
                    true
                }
                None => true,
            });
            self.report(settled);
            if leaving.is_empty() {
                break;
            }
            failures += 1;
            self.publish_failed(failures, leaving.len(), failed);
            if !self
                .wait_until(Instant::now() + settings.backoff.delay(failures))
                .await
            {
                return false;
            }
        }
        if failures > 0 {
            meters::stopped(&settings.name, &self.partition, false);
        }
        true
    }

    fn publish_failed(&self, failures: u32, records: usize, failed: Option<(String, log::Error)>) {
        let name = &self.shared.settings.name;
        meters::publish_failure(name);
        if failures == 1 {
            meters::stopped(name, &self.partition, true);
            let (to, error) = failed.map_or_else(Default::default, |(topic, error)| {
                (topic, error.to_string())
            });
            tracing::error!(
                consumer = name, partition = %self.partition, records, to, error,
                "cannot give failed records on: the partition waits until it can",
            );
        }
    }

    fn count(&self, leaving: &Leaving) {
        let name = &self.shared.settings.name;
        if leaving.dead {
            meters::dead_letter(name, &self.station.source);
        } else {
            meters::retries(name, "topic", 1);
        }
    }
}

/// Key and value as they came, on the same partition number.
fn outgoing(record: &Record, topic: String, headers: Headers) -> Outgoing {
    Outgoing {
        topic,
        partition: Some(record.partition),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
        timestamp_ms: None,
    }
}
