//! One shard of the outbox in the hands of one relay: lease, read ahead, publish, delete.
//! One task owns it and does one store call at a time; only publishing runs beside it.
//! Stops publishing well before its lease could have gone to another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use metrics::histogram;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::settling::{Refused, Sent};
use super::{Shared, mapping};
use crate::outbox::{Error, Lease, Row};
use crate::record::Outgoing;

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
    /// Something was published since the last sweep.
    pub(super) moved: bool,
    in_flight: FuturesUnordered<BoxFuture<'static, Sent>>,
    /// Rows on their way, or acknowledged and not deleted yet.
    pub(super) known: HashSet<Uuid>,
    pub(super) acknowledged: Vec<Uuid>,
    pub(super) refused: HashMap<Uuid, Refused>,
    pub(super) missing_topics: HashMap<String, Refused>,
    /// More rows are refused than can be remembered.
    pub(super) overflowing: bool,
    pub(super) failures: u32,
    pub(super) not_before: Instant,
    /// The shard is not read before this, for batches of a worthwhile size.
    next_read: Instant,
    pub(super) published: u64,
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
            moved: false,
            in_flight: FuturesUnordered::new(),
            known: HashSet::new(),
            acknowledged: Vec::new(),
            refused: HashMap::new(),
            missing_topics: HashMap::new(),
            overflowing: false,
            failures: 0,
            not_before: now,
            next_read: now,
            published: 0,
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
            self.next_read = Instant::now();
            if self.lease.is_none() {
                return Ok(0);
            }
            if self.failures > 0 {
                break;
            }
            if self.in_flight.len() >= self.shared.settings.in_flight_batches.max(1)
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
        self.delete().await?;
        let now = Instant::now();
        let idle = self.in_flight.is_empty() && self.at_end;
        let due = now >= self.sweep_at() && (self.at_end || !self.overflowing);
        if due || (idle && self.moved) {
            self.overflowing = false;
            self.cursor = None;
            self.at_end = false;
            self.moved = false;
            self.swept = now;
        }
        if self.at_end || !self.may_publish(now) || now < self.next_read {
            return Ok(Turn::Idle);
        }
        self.read().await?;
        Ok(Turn::Busy)
    }

    fn sweep_at(&self) -> Instant {
        self.swept + Duration::from_millis(self.shared.settings.sweep_ms)
    }

    fn may_publish(&self, now: Instant) -> bool {
        let settings = &self.shared.settings;
        self.in_flight.len() < settings.in_flight_batches.max(1)
            && now >= self.not_before
            && self.publish_until().is_some_and(|until| now < until)
    }

    /// A record handed to the log before this has come back or timed out before the lease can be another's.
    pub(super) fn publish_until(&self) -> Option<Instant> {
        let half = Duration::from_millis(self.shared.settings.lease_ms / 2);
        self.lease.as_ref().map(|(_, asked)| *asked + half)
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
        self.lease = None;
        self.cursor = None;
        self.at_end = false;
        self.in_flight.clear();
        self.known.clear();
        self.acknowledged.clear();
        self.refused.clear();
    }

    async fn read(&mut self) -> Result<(), Error> {
        let limit = self.shared.settings.batch_max.max(1);
        let asked = Instant::now();
        let rows = self
            .shared
            .store
            .head(self.shard, self.cursor, limit)
            .await?;
        self.at_end = rows.len() < limit as usize;
        if self.at_end {
            let apart = Duration::from_millis(self.shared.settings.batch_interval_ms);
            self.next_read = asked + apart;
        }
        self.cursor = rows.last().map(|row| row.id).or(self.cursor);
        let now = Instant::now();
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| !self.known.contains(&row.id))
            .filter(|row| {
                let held = [
                    self.refused.get(&row.id),
                    self.missing_topics.get(&row.topic),
                ];
                held.into_iter().flatten().all(|held| now >= held.again)
            })
            .collect();
        // Reading may have taken long: only what comes back in time may go out.
        if !rows.is_empty() && self.publish_until().is_some_and(|until| now < until) {
            histogram!("madang_outbox_batch_rows").record(rows.len() as f64);
            let settings = &self.shared.settings;
            let batch = rows
                .iter()
                .map(|row| mapping::outgoing(row, settings))
                .collect();
            self.publish(rows, batch, false);
        }
        Ok(())
    }

    /// Hands a batch to the log. It is polled once at once, so that batches reach the log in the order they were read.
    pub(super) fn publish(&mut self, rows: Vec<Row>, batch: Vec<Outgoing>, dead: bool) {
        if rows.is_empty() {
            return;
        }
        self.known.extend(rows.iter().map(|row| row.id));
        let log = Arc::clone(&self.shared.log);
        let mut sending = async move {
            let results = log.publish(batch).await;
            Sent {
                rows,
                results,
                dead,
            }
        }
        .boxed();
        match (&mut sending).now_or_never() {
            Some(sent) => self.in_flight.push(std::future::ready(sent).boxed()),
            None => self.in_flight.push(sending),
        }
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

    async fn rest(&mut self, cancel: &CancellationToken) {
        let settings = &self.shared.settings;
        let now = Instant::now();
        let full = self.in_flight.len() >= settings.in_flight_batches.max(1);
        // In a backoff, too soon, or with no room for a batch, neither a wake nor a poll helps.
        let not_before = self.not_before.max(self.next_read);
        let blocked = full || not_before > now;
        let work = match (not_before > now, full) {
            (true, _) => not_before,
            (false, true) => self.sweep_at(),
            (false, false) => now + Duration::from_millis(settings.poll_ms.max(1)),
        };
        let until = self.renew_at().map_or(work, |renew| renew.min(work));
        tokio::select! {
            () = cancel.cancelled() => {}
            Some(sent) = self.in_flight.next() => self.settle(sent),
            () = self.shared.wake.woken(self.shard), if !blocked => self.at_end = false,
            () = tokio::time::sleep_until(until) => self.at_end = false,
        }
    }
}
