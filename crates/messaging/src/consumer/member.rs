//! One membership of a group: which partitions are ours, who works on each, and what is committed.
//! It neither calls the handler nor judges outcomes (`worker` does); it never blocks on a partition but while draining.
//! `Runtime` runs one after another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::meters;
use super::settings::Settings;
use super::worker::{End, Shared, Worker};
use crate::log::{Batch, Delivery, Error, Membership, Revocation};
use crate::record::TopicPartition;

/// Nothing has been settled or committed yet.
const NOWHERE: i64 = -1;

/// A partition of ours.
pub(super) struct Held {
    /// Tells who works on it from those before, who may still report.
    pub(super) generation: u64,
    /// Offset of the first record that is not settled; the worker moves it.
    pub(super) progress: Arc<AtomicI64>,
    committed: i64,
    stop: CancellationToken,
    pub(super) worker: Option<AbortHandle>,
    /// Rewinds in a row.
    pub(super) rewinds: u32,
}

pub(super) struct Report {
    pub(super) partition: TopicPartition,
    pub(super) generation: u64,
    pub(super) end: End,
}

pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    /// `None` once left.
    pub(super) membership: Option<Box<dyn Membership>>,
    pub(super) partitions: HashMap<TopicPartition, Held>,
    pub(super) workers: JoinSet<Report>,
    pub(super) generations: u64,
    delivered: bool,
    commit_failing: bool,
}

impl Member {
    pub fn new(shared: Arc<Shared>, membership: Box<dyn Membership>) -> Self {
        Self {
            shared,
            membership: Some(membership),
            partitions: HashMap::new(),
            workers: JoinSet::new(),
            generations: 0,
            delivered: false,
            commit_failing: false,
        }
    }

    pub fn has_delivered(&self) -> bool {
        self.delivered
    }

    fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Until `cancel` (drained, committed, left) or until the membership is over (nothing committed: it is not ours any more).
    pub async fn run(&mut self, cancel: &CancellationToken) -> Result<(), Error> {
        let period = Duration::from_millis(self.settings().commit_interval_ms.max(1));
        let mut tick = tokio::time::interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(membership) = self.membership.as_mut() {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return self.stop().await,
                Some(report) = self.workers.join_next() => {
                    if let Ok(report) = report {
                        self.on_report(report).await;
                    }
                }
                _ = tick.tick() => self.commit(|_| true).await,
                delivery = membership.next() => match delivery {
                    Ok(delivery) => self.on_delivery(delivery).await,
                    Err(error) => {
                        self.workers.abort_all();
                        return Err(error);
                    }
                },
            }
        }
        Ok(())
    }

    async fn on_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Assigned(partitions) => {
                tracing::info!(
                    consumer = self.settings().name,
                    ?partitions,
                    "partitions assigned"
                );
                for partition in partitions {
                    self.hold(partition);
                }
            }
            Delivery::Revoked(revocation) => self.on_revoked(revocation).await,
            Delivery::Batch(batch) => {
                self.delivered = true;
                self.start(batch);
            }
            Delivery::Stopped(partition, error) => {
                tracing::error!(consumer = self.settings().name, %partition, %error, "partition stopped, it needs an operator");
                meters::stopped(&self.settings().name, &partition, true);
                if let Some(Held {
                    worker: Some(worker),
                    ..
                }) = self.partitions.remove(&partition)
                {
                    worker.abort();
                }
            }
        }
    }

    fn hold(&mut self, partition: TopicPartition) {
        self.generations += 1;
        meters::stopped(&self.settings().name, &partition, false);
        let held = Held {
            generation: self.generations,
            progress: Arc::new(AtomicI64::new(NOWHERE)),
            committed: NOWHERE,
            stop: CancellationToken::new(),
            worker: None,
            rewinds: 0,
        };
        if let Some(Held {
            worker: Some(worker),
            ..
        }) = self.partitions.insert(partition, held)
        {
            worker.abort();
        }
    }

    fn start(&mut self, batch: Batch) {
        let partition = batch.partition;
        let records = batch.records.len();
        let Some(first) = batch.records.first().map(|record| record.offset) else {
            return;
        };
        if !self.partitions.contains_key(&partition) {
            self.hold(partition.clone());
        }
        let Entry::Occupied(mut entry) = self.partitions.entry(partition.clone()) else {
            return;
        };
        let held = entry.get_mut();
        // A seek that is still to be tried again has been carried out after all: else no batch would have come.
        if let Some(earlier) = held.worker.take() {
            earlier.abort();
        }
        self.generations += 1;
        held.generation = self.generations;
        let worker = Worker::new(
            Arc::clone(&self.shared),
            partition.clone(),
            batch.records,
            Arc::clone(&held.progress),
            held.stop.clone(),
            held.rewinds,
        );
        let shared = Arc::clone(&self.shared);
        let progress = Arc::clone(&held.progress);
        let generation = held.generation;
        let stop = held.stop.clone();
        let next = shared.next_batch_at(records);
        held.worker = Some(self.workers.spawn(async move {
            let end = match AssertUnwindSafe(worker.run()).catch_unwind().await {
                Ok(End::Settled) => {
                    // What is settled can be committed meanwhile; a revoke or stop does not wait for this.
                    stop.run_until_cancelled(tokio::time::sleep_until(next)).await;
                    End::Settled
                }
                Ok(end) => end,
                Err(_) => {
                    tracing::error!(consumer = shared.settings.name, %partition, "worker panicked, its batch is read again");
                    tokio::time::sleep(shared.settings.backoff.delay(1)).await;
                    End::Seek(progress.load(Ordering::Acquire).max(first))
                }
            };
            Report { partition, generation, end }
        }));
    }

    async fn on_report(&mut self, report: Report) {
        let Report {
            partition,
            generation,
            end,
        } = report;
        let Some(held) = self.partitions.get_mut(&partition) else {
            return;
        };
        let Some(membership) = self.membership.as_mut() else {
            return;
        };
        if held.generation != generation {
            return;
        }
        held.worker = None;
        match end {
            End::Settled => {
                held.rewinds = 0;
                membership.ready(&partition);
            }
            End::Seek(offset) => self.seek(partition, offset).await,
            End::Stopped => {}
        }
    }

    async fn on_revoked(&mut self, revocation: Revocation) {
        tracing::info!(consumer = self.settings().name, partitions = ?revocation.partitions, "partitions revoked");
        let others = self
            .drain(|partition| revocation.partitions.contains(partition))
            .await;
        self.commit(|partition| revocation.partitions.contains(partition))
            .await;
        for partition in &revocation.partitions {
            self.partitions.remove(partition);
            meters::stopped(&self.settings().name, partition, false);
        }
        revocation.done();
        // Only now: the adapter may not serve other calls while a rebalance waits for us.
        for report in others {
            self.on_report(report).await;
        }
    }

    async fn stop(&mut self) -> Result<(), Error> {
        self.drain(|_| true).await;
        self.commit(|_| true).await;
        match self.membership.take() {
            Some(membership) => membership.leave().await,
            None => Ok(()),
        }
    }

    /// Lets the workers of these partitions settle what they have in hand, within the bound; then they are cut off.
    /// Returns what workers of other partitions reported meanwhile.
    async fn drain(&mut self, ours: impl Fn(&TopicPartition) -> bool) -> Vec<Report> {
        let deadline = Instant::now() + Duration::from_millis(self.settings().drain_ms);
        let mut others = Vec::new();
        for (_, held) in self
            .partitions
            .iter()
            .filter(|(partition, _)| ours(partition))
        {
            held.stop.cancel();
        }
        let busy = |partitions: &HashMap<TopicPartition, Held>| {
            partitions
                .iter()
                .any(|(partition, held)| ours(partition) && held.worker.is_some())
        };
        while busy(&self.partitions) {
            match tokio::time::timeout_at(deadline, self.workers.join_next()).await {
                Ok(Some(Ok(report))) if ours(&report.partition) => self.on_drained(report),
                Ok(Some(Ok(report))) => others.push(report),
                Ok(Some(Err(_))) => {}
                Ok(None) => break,
                Err(_) => {
                    self.cut_off(&ours);
                    break;
                }
            }
        }
        others
    }

    fn on_drained(&mut self, report: Report) {
        if let Some(held) = self.partitions.get_mut(&report.partition)
            && held.generation == report.generation
        {
            held.worker = None;
            if let End::Seek(offset) = report.end {
                held.progress.store(offset, Ordering::Release);
            }
        }
    }

    fn cut_off(&mut self, ours: impl Fn(&TopicPartition) -> bool) {
        let name = &self.shared.settings.name;
        for (partition, held) in self
            .partitions
            .iter_mut()
            .filter(|(partition, _)| ours(partition))
        {
            if let Some(worker) = held.worker.take() {
                tracing::warn!(consumer = name, %partition, "batch not settled in time, it will be delivered again");
                worker.abort();
            }
        }
    }

    /// Commits what has been settled since the last time. What fails stays to be committed, unless the log says it never can be.
    async fn commit(&mut self, ours: impl Fn(&TopicPartition) -> bool) {
        let offsets: Vec<(TopicPartition, i64)> = self
            .partitions
            .iter()
            .filter(|(partition, _)| ours(partition))
            .map(|(partition, held)| (partition, held, held.progress.load(Ordering::Acquire)))
            .filter(|(_, held, progress)| *progress != held.committed)
            .map(|(partition, _, progress)| (partition.clone(), progress))
            .collect();
        if offsets.is_empty() {
            return;
        }
        match self.commit_once(&offsets).await {
            Err(error) if !error.is_transient() && offsets.len() > 1 => {
                // One that is no longer ours must not keep the others back.
                for offset in &offsets {
                    if self
                        .commit_once(std::slice::from_ref(offset))
                        .await
                        .is_err()
                    {
                        self.note_committed(std::slice::from_ref(offset));
                    }
                }
            }
            Err(error) if !error.is_transient() => self.note_committed(&offsets),
            _ => {}
        }
    }

    async fn commit_once(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let Some(membership) = self.membership.as_mut() else {
            return Ok(());
        };
        let result = membership.commit(offsets).await;
        match &result {
            Ok(()) => {
                self.note_committed(offsets);
                self.commit_failing = false;
            }
            Err(error) => {
                if !self.commit_failing || !error.is_transient() {
                    tracing::warn!(consumer = self.shared.settings.name, ?offsets, %error, "offsets not committed");
                }
                self.commit_failing = error.is_transient();
            }
        }
        result
    }

    fn note_committed(&mut self, offsets: &[(TopicPartition, i64)]) {
        for (partition, offset) in offsets {
            if let Some(held) = self.partitions.get_mut(partition) {
                held.committed = *offset;
            }
        }
    }
}
