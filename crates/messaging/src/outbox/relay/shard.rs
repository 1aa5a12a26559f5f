//! One shard of the outbox in the hands of one relay: lease, send, delete. What is sent next is found in `sending`.
//! One task owns it and does one store call at a time; only publishing runs beside it.
//! Stops publishing well before its lease could have gone to another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Shared;
use super::settling::{Meters, Refused, Sent};
use crate::outbox::{Error, Lease};

enum Turn {
    /// There may be more to do at once.
    Busy,
    /// Nothing to do before a batch comes back, a wake, or the next poll.
    Idle,
    /// Another owner has the shard.
    NotOurs,
}

pub(super) struct Shard {
    pub(super) shared: Arc<Shared>,
    pub(super) shard: i32,
    /// With the moment before it was asked for: by our clock it lasts `lease_ms` from then at least.
    lease: Option<(Lease, Instant)>,
    /// After a failed renewal the next one waits.
    renew_not_before: Instant,
    /// Last row seen; reading goes on after it, and begins at the head again with each sweep.
    pub(super) cursor: Option<Uuid>,
    /// The last page was the shard's end.
    pub(super) at_end: bool,
    swept: Instant,
    /// When the table is read though nobody has said that it holds something.
    pub(super) poll_at: Instant,
    /// How long until the look after the next; longer while looks find nothing.
    pub(super) poll_every: Duration,
    pub(super) in_flight: FuturesUnordered<BoxFuture<'static, Sent>>,
    /// Rows on their way, or acknowledged and not deleted yet.
    pub(super) known: HashSet<Uuid>,
    pub(super) acknowledged: Vec<Uuid>,
    /// When the first of these came back.
    pub(super) acknowledged_at: Instant,
    pub(super) refused: HashMap<Uuid, Refused>,
    /// Of rows that have not gone, the events that the log has already.
    pub(super) there: HashMap<Uuid, HashSet<Uuid>>,
    pub(super) missing_topics: HashMap<String, Refused>,
    /// More rows are refused than can be remembered.
    pub(super) overflowing: bool,
    pub(super) failures: u32,
    pub(super) not_before: Instant,
    /// No batch begins before this, for batches of a worthwhile size.
    pub(super) next_batch: Instant,
    /// Events a row, as the table was last read.
    pub(super) events_a_row: u32,
    /// Events.
    pub(super) published: u64,
    pub(super) meters: HashMap<String, Meters>,
}

impl Shard {
    pub fn new(shared: Arc<Shared>, shard: i32) -> Self {
        let now = Instant::now();
        Self {
            shared,
            shard,
            lease: None,
            renew_not_before: now,
            cursor: None,
            at_end: false,
            swept: now,
            poll_at: now,
            poll_every: Duration::ZERO,
            in_flight: FuturesUnordered::new(),
            known: HashSet::new(),
            acknowledged: Vec::new(),
            acknowledged_at: now,
            refused: HashMap::new(),
            there: HashMap::new(),
            missing_topics: HashMap::new(),
            overflowing: false,
            failures: 0,
            not_before: now,
            next_batch: now,
            events_a_row: 1,
            published: 0,
            meters: HashMap::new(),
        }
    }

    pub async fn run(mut self, cancel: CancellationToken) {
        let mut troubles = 0;
        while !cancel.is_cancelled() {
            let turn = self.turn().await;
            if turn.is_ok() && troubles > 0 {
                tracing::info!(shard = self.shard, troubles, "outbox can be reached again");
                troubles = 0;
            }
            match turn {
                Ok(Turn::Busy) => {}
                Ok(Turn::Idle) => self.rest(&cancel).await,
                Ok(Turn::NotOurs) => {
                    let wait = Duration::from_millis(self.shared.settings.lease_ms / 6);
                    cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
                }
                Err(Error::Fenced { shard }) => {
                    tracing::warn!(shard, "another relay has this shard now");
                    self.forget();
                }
                Err(error) => {
                    troubles += 1;
                    if troubles == 1 {
                        tracing::warn!(shard = self.shard, %error, "outbox cannot be reached, trying again");
                    }
                    let wait = self.shared.settings.backoff.delay(troubles);
                    cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
                }
            }
        }
        if let Err(error) = self.finish().await {
            tracing::warn!(shard = self.shard, %error, "stopped before every acknowledged row was deleted: they will be sent again");
        }
    }

    pub async fn once(mut self) -> Result<u64, Error> {
        while matches!(self.turn().await?, Turn::Busy) || !self.at_end {
            // What a single pass finds is not worth waiting for.
            self.next_batch = Instant::now();
            if self.lease.is_none() {
                return Ok(0);
            }
            if self.failures > 0 {
                break;
            }
            if self.is_full()
                && let Some(sent) = self.in_flight.next().await
            {
                self.settle(sent);
            }
        }
        self.finish().await?;
        Ok(self.published)
    }

    /// Lets what is on its way come back, deletes what was acknowledged, gives the lease up.
    async fn finish(&mut self) -> Result<(), Error> {
        self.shared.wake.relayed(self.shard, false);
        let deadline = Instant::now() + Duration::from_millis(self.shared.settings.drain_ms);
        while let Ok(Some(sent)) = tokio::time::timeout_at(deadline, self.in_flight.next()).await {
            self.settle(sent);
        }
        self.delete().await?;
        match self.lease.take() {
            Some((lease, _)) => self.shared.store.release(&lease).await,
            None => Ok(()),
        }
    }

    async fn turn(&mut self) -> Result<Turn, Error> {
        if !self.keep_lease().await? {
            return Ok(Turn::NotOurs);
        }
        while let Some(Some(sent)) = self.in_flight.next().now_or_never() {
            self.settle(sent);
        }
        let now = Instant::now();
        if self.delete_at().is_some_and(|at| now >= at) {
            self.delete().await?;
        }
        let now = Instant::now();
        if now >= self.sweep_at() && (self.at_end || !self.overflowing) {
            self.overflowing = false;
            self.cursor = None;
            self.at_end = false;
            self.swept = now;
        }
        if now >= self.poll_at || self.shared.wake.more_in_table(self.shard) {
            self.at_end = false;
        }
        if !self.may_publish(now) || now < self.next_batch {
            return Ok(Turn::Idle);
        }
        if self.send_handed() {
            return Ok(Turn::Busy);
        }
        if self.at_end {
            return Ok(Turn::Idle);
        }
        self.read().await?;
        Ok(Turn::Busy)
    }

    fn sweep_at(&self) -> Instant {
        self.swept + Duration::from_millis(self.shared.settings.sweep_ms)
    }

    fn is_full(&self) -> bool {
        self.in_flight.len() >= self.shared.settings.in_flight_batches.max(1)
    }

    fn may_publish(&self, now: Instant) -> bool {
        !self.is_full()
            && now >= self.not_before
            && self.publish_until().is_some_and(|until| now < until)
    }

    /// A record handed to the log before this has come back or timed out before the lease can be another's.
    pub(super) fn publish_until(&self) -> Option<Instant> {
        let half = Duration::from_millis(self.shared.settings.lease_ms / 2);
        self.lease.as_ref().map(|(_, asked)| *asked + half)
    }

    /// When acknowledged rows are deleted: together, and soon.
    fn delete_at(&self) -> Option<Instant> {
        let settings = &self.shared.settings;
        let wait = match self.acknowledged.len() {
            0 => return None,
            many if many >= settings.batch_max as usize => Duration::ZERO,
            _ => Duration::from_millis(settings.delete_interval_ms),
        };
        Some(self.acknowledged_at + wait)
    }

    /// Deletes exactly what was acknowledged. Until that has worked the rows are known, so that they are not sent again.
    async fn delete(&mut self) -> Result<(), Error> {
        let Some((lease, _)) = &self.lease else {
            return Ok(());
        };
        if self.acknowledged.is_empty() {
            return Ok(());
        }
        self.shared.store.delete(lease, &self.acknowledged).await?;
        for id in self.acknowledged.drain(..) {
            self.known.remove(&id);
        }
        Ok(())
    }

    fn renew_at(&self) -> Option<Instant> {
        let third = Duration::from_millis(self.shared.settings.lease_ms / 3);
        let (_, asked) = self.lease.as_ref()?;
        Some((*asked + third).max(self.renew_not_before))
    }

    /// False when another owner has the shard. A store that is away is an error only once we may not publish any more.
    async fn keep_lease(&mut self) -> Result<bool, Error> {
        let asked = Instant::now();
        if self.renew_at().is_some_and(|renew| asked < renew) {
            return Ok(true);
        }
        let settings = &self.shared.settings;
        let answer = self
            .shared
            .store
            .lease(self.shard, &settings.owner, settings.lease_ms)
            .await;
        match answer {
            Ok(Some(lease)) => {
                if self
                    .lease
                    .as_ref()
                    .is_none_or(|(held, _)| held.token != lease.token)
                {
                    tracing::info!(
                        shard = self.shard,
                        token = lease.token,
                        "outbox shard leased"
                    );
                    self.forget();
                    self.shared.wake.relayed(self.shard, true);
                }
                self.lease = Some((lease, asked));
                Ok(true)
            }
            Ok(None) => {
                if self.lease.is_some() {
                    tracing::warn!(shard = self.shard, "another relay has this shard now");
                }
                self.forget();
                Ok(false)
            }
            Err(error) => {
                let now = Instant::now();
                self.renew_not_before = now + settings.backoff.delay(1);
                match self.publish_until() {
                    Some(until) if now < until => Ok(true),
                    _ => Err(error),
                }
            }
        }
    }

    /// Another owner may be at work: nothing that we know of the shard holds any more.
    fn forget(&mut self) {
        self.shared.wake.relayed(self.shard, false);
        self.lease = None;
        self.cursor = None;
        self.at_end = false;
        self.in_flight.clear();
        self.known.clear();
        self.acknowledged.clear();
        self.refused.clear();
        self.there.clear();
    }

    async fn rest(&mut self, cancel: &CancellationToken) {
        let now = Instant::now();
        let poll = now + Duration::from_millis(self.shared.settings.poll_ms.max(1));
        let full = self.is_full();
        let ready = self.not_before.max(self.next_batch);
        let waiting = !self.at_end || self.shared.wake.has_rows(self.shard);
        let work = match (full, waiting) {
            // Only an answer makes room.
            (true, _) => None,
            (false, true) => Some(ready),
            (false, false) => Some(ready.max(self.poll_at.min(self.sweep_at()))),
        };
        // What could be done now and was not waits for the lease.
        let work = work.map(|at| if at > now { at } else { poll });
        let until = [work, self.renew_at(), self.delete_at()];
        let until = until.into_iter().flatten().min().unwrap_or(poll);
        tokio::select! {
            () = cancel.cancelled() => {}
            Some(sent) = self.in_flight.next() => self.settle(sent),
            // With no room for a batch it is heard later; in a backoff or too soon, once is enough.
            () = self.shared.wake.woken(self.shard), if !full && (!waiting || ready <= now) => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}
