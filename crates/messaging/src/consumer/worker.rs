//! One batch of one partition, from the handler's first look until every record is settled or the partition is let go.
//! Waits, retries and dead letters happen here; offsets are only reported, `member` commits them.
//! Cancel-safe at every wait: `stop` lets the handler finish what it has, and begins nothing new.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::bisect::Parts;
use super::journey::{Journey, due_ms};
use super::route::{Routes, Station};
use super::settings::{Retry, Settings};
use super::settle::{Step, step};
use super::spans::spans;
use super::{Event, Failure, Handler, Outcome, Verdict, meters};
use crate::backoff::Backoff;
use crate::envelope::Identity;
use crate::log::EventLog;
use crate::record::{Record, TopicPartition};

/// What all workers of a consumer share.
pub(super) struct Shared {
    pub log: Arc<dyn EventLog>,
    pub handler: Arc<dyn Handler>,
    pub settings: Settings,
    pub routes: Routes,
    pub permits: Semaphore,
}

impl Shared {
    /// When the batch after one of so many records may begin, if that one begins now.
    pub fn next_batch_at(&self, records: usize) -> Instant {
        let full = records >= self.settings.batch_max;
        let apart_ms = if full {
            0
        } else {
            self.settings.batch_interval_ms
        };
        Instant::now() + Duration::from_millis(apart_ms)
    }
}

/// How a worker ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Every record is settled.
    Settled,
    /// The partition is to be read again from this offset.
    Seek(i64),
    /// It was told to stop before everything was settled.
    Stopped,
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: TopicPartition,
    pub(super) station: Station,
    progress: Arc<AtomicI64>,
    stop: CancellationToken,
    rewinds: u32,
    /// What is not settled, in offset order; `refusals` and `due` run beside it.
    pub(super) events: Vec<Event>,
    refusals: Vec<u32>,
    due: Vec<Instant>,
    parts: Parts,
    /// Offset after the batch's last record.
    end: i64,
    /// Times in a row that the head did not move.
    failures: u32,
}

impl Worker {
    pub fn new(
        shared: Arc<Shared>,
        partition: TopicPartition,
        records: Vec<Record>,
        progress: Arc<AtomicI64>,
        stop: CancellationToken,
        rewinds: u32,
    ) -> Self {
        let station = shared.routes.station(&partition.topic);
        let received_ms = now_ms();
        let received = Instant::now();
        let due = records
            .iter()
            .map(|record| received + wait_until_due(record, &station, received_ms))
            .collect();
        let end = records.last().map_or(0, |record| record.offset + 1);
        let refusals = vec![0; records.len()];
        let events = records
            .into_iter()
            .map(|record| event(record, &station, &shared))
            .collect();
        Self {
            shared,
            partition,
            station,
            progress,
            stop,
            rewinds,
            events,
            refusals,
            due,
            parts: Parts::default(),
            end,
            failures: 0,
        }
    }

    pub async fn run(mut self) -> End {
        while !self.events.is_empty() {
            if !self.wait_for_due().await {
                return End::Stopped;
            }
            let now = Instant::now();
            let due = self.due.iter().take_while(|due| **due <= now).count();
            let count = self.parts.next(due.max(1)).min(self.events.len());
            let Some(verdict) = self.call(count).await else {
                return End::Stopped;
            };
            let goes_on = match verdict {
                Verdict::Each(outcomes) => self.on_outcomes(outcomes).await,
                Verdict::RetryAll(failure) => self.hold_batch(&failure, count).await,
                Verdict::Suspect(failure) => {
                    self.parts.suspect() || self.on_outcomes(vec![Outcome::Dead(failure)]).await
                }
                Verdict::Rewind { offset } => return self.rewind(offset).await,
            };
            if !goes_on && !self.events.is_empty() {
                return End::Stopped;
            }
        }
        End::Settled
    }

    /// False when stopped meanwhile.
    async fn wait_for_due(&self) -> bool {
        match self.due.first() {
            Some(due) => self.wait_until(*due).await,
            None => true,
        }
    }

    pub(super) async fn wait_until(&self, instant: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep_until(instant) => true,
        }
    }

    /// Hands the first `count` events over; `None` when stopped before. A verdict that is not one, or a panic, holds the batch.
    async fn call(&self, count: usize) -> Option<Verdict> {
        let shared = &self.shared;
        let name = &shared.settings.name;
        let _permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            permit = shared.permits.acquire() => permit.ok()?,
        };
        let events = &self.events[..count];
        let (span, records) = spans(&shared.settings, &self.partition, events);
        let started = Instant::now();
        let handled = AssertUnwindSafe(shared.handler.handle(events))
            .catch_unwind()
            .instrument(span)
            .await;
        drop(records);
        meters::batch(name, started.elapsed(), count);
        let verdict = match handled {
            Ok(Verdict::Each(outcomes)) if outcomes.len() != count => {
                let message = format!("{} outcomes for {count} events", outcomes.len());
                Verdict::RetryAll(Failure::new("HandlerContract", message))
            }
            Ok(verdict) => verdict,
            Err(panic) => Verdict::RetryAll(Failure::new("HandlerPanic", panic_message(&*panic))),
        };
        Some(verdict)
    }

    /// Carries out what the outcomes of the first events ask for; false when stopped meanwhile.
    async fn on_outcomes(&mut self, outcomes: Vec<Outcome>) -> bool {
        meters::outcomes(&self.shared.settings.name, &outcomes);
        let head = self.events.first().map(|event| event.record.offset);
        let count = outcomes.len();
        let mut settled = vec![false; self.events.len()];
        let mut leaving = Vec::new();
        let mut held: Option<(Failure, Option<u64>)> = None;
        for (at, outcome) in outcomes.into_iter().enumerate() {
            if matches!(outcome, Outcome::Retry { .. }) {
                self.refusals[at] = self.refusals[at].saturating_add(1);
            }
            let retry = &self.shared.settings.retry;
            match step(
                outcome,
                self.refusals[at],
                retry,
                &self.shared.routes,
                &self.station,
            ) {
                Step::Settle => settled[at] = true,
                Step::Hold { failure, after_ms } => {
                    let (_, longest) = held.get_or_insert((failure, None));
                    *longest = (*longest).max(after_ms);
                }
                Step::Retry {
                    next,
                    failure,
                    after_ms,
                } => {
                    let wait_ms = next.wait_ms(after_ms, at, count);
                    leaving.push(self.to_retry(at, next, &failure, wait_ms));
                }
                Step::Dead { failure } => leaving.push(self.to_dead_letter(at, &failure)),
            }
        }
        self.report(&settled);
        let published = self.give_on(leaving, &mut settled).await;
        self.parts
            .settled(settled[..count].iter().filter(|settled| **settled).count());
        self.forget(&settled);
        if self.events.first().map(|event| event.record.offset) != head {
            self.recovered();
        }
        match held {
            Some((failure, after_ms)) if published => {
                let again = count - settled[..count].iter().filter(|settled| **settled).count();
                meters::retries(&self.shared.settings.name, "record", again as u64);
                let backoff = match &self.shared.settings.retry {
                    Retry::InPlace { backoff, .. } => backoff.clone(),
                    Retry::Topics { .. } => self.shared.settings.backoff.clone(),
                };
                self.hold(&failure, &backoff, after_ms, again).await
            }
            _ => published,
        }
    }

    async fn hold_batch(&mut self, failure: &Failure, count: usize) -> bool {
        meters::records(&self.shared.settings.name, "retry", count as u64);
        meters::retries(&self.shared.settings.name, "batch", 1);
        let backoff = self.shared.settings.backoff.clone();
        self.hold(failure, &backoff, None, count).await
    }

    /// Waits before the first `count` events are handed over again; false when stopped meanwhile.
    async fn hold(
        &mut self,
        failure: &Failure,
        backoff: &Backoff,
        after_ms: Option<u64>,
        count: usize,
    ) -> bool {
        let settings = &self.shared.settings;
        self.failures = self.failures.saturating_add(1);
        let wished = Duration::from_millis(after_ms.unwrap_or(0).min(settings.after_max_ms));
        let wait = backoff.delay(self.failures).max(wished);
        if self.failures == 1 {
            tracing::warn!(
                consumer = settings.name, partition = %self.partition, records = count,
                offset = self.events.first().map(|event| event.record.offset),
                kind = failure.kind, error = failure.message, "handler failed, trying again in place",
            );
        }
        for event in &mut self.events[..count] {
            event.attempt = event.attempt.saturating_add(1);
        }
        self.wait_until(Instant::now() + wait).await
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            let settings = &self.shared.settings;
            tracing::info!(consumer = settings.name, partition = %self.partition, failures = self.failures, "partition goes on");
            self.failures = 0;
        }
    }

    /// A handler cannot skip what it has not settled: an offset ahead counts as the head's.
    async fn rewind(&self, offset: i64) -> End {
        let head = self
            .events
            .first()
            .map_or(self.end, |event| event.record.offset);
        if self.rewinds > 0 {
            let wait = self.shared.settings.backoff.delay(self.rewinds);
            self.wait_until(Instant::now() + wait).await;
        }
        End::Seek(offset.min(head).max(0))
    }

    /// Tells `member` how far the batch is settled without a gap.
    pub(super) fn report(&self, settled: &[bool]) {
        let open = settled.iter().position(|settled| !settled);
        let next = match open {
            Some(0) => return,
            Some(at) => self.events[at].record.offset,
            None => self.end,
        };
        self.progress.store(next, Ordering::Release);
    }

    fn forget(&mut self, settled: &[bool]) {
        retain_open(&mut self.events, settled);
        retain_open(&mut self.refusals, settled);
        retain_open(&mut self.due, settled);
    }
}

fn retain_open<T>(items: &mut Vec<T>, settled: &[bool]) {
    let mut flags = settled.iter();
    items.retain(|_| !flags.next().copied().unwrap_or(false));
}

pub(super) fn journey_of(record: &Record, station: &Station, shared: &Shared) -> Journey {
    if station.is_retry() {
        Journey::on_retry_topic(record, &shared.settings.group)
    } else {
        let routes = &shared.routes;
        Journey::on_source(record, &shared.settings.group, |topic| {
            routes.is_source(topic)
        })
    }
}

fn event(record: Record, station: &Station, shared: &Shared) -> Event {
    let journey = journey_of(&record, station, shared);
    Event {
        identity: Identity::of(&record, &journey.origin),
        origin: journey.origin,
        attempt: journey.attempt,
        record,
    }
}

/// Due = min(written, received) + delay at the latest: a clock that runs ahead cannot hold a record for ever. Where its header
/// names an earlier time since then, that one.
fn wait_until_due(record: &Record, station: &Station, received_ms: i64) -> Duration {
    let from_ms = record.timestamp_ms.min(received_ms);
    let delay_ms = i64::try_from(station.delay_ms).unwrap_or(i64::MAX);
    let latest_ms = from_ms.saturating_add(delay_ms);
    let due_ms = due_ms(&record.headers)
        .unwrap_or(latest_ms)
        .clamp(from_ms, latest_ms);
    Duration::from_millis(u64::try_from(due_ms.saturating_sub(received_ms)).unwrap_or(0))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the handler panicked".to_owned())
}

pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
