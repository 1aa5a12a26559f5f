//! The coupon scheduler: leases the next places in order, publishes them, and only then lets the queue forget them.
//! It decides nobody's luck. Several may run: one leads a campaign at a time. It also tells the queue of new and changed campaigns,
//! and recovers it (`recovery`). On cancel it finishes what it has leased and gives up its leads; on errors it waits and goes on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use messaging::log::EventLog;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::events::{self, Dress};
use super::model::Campaign;
use super::opening::{self, Opening};
use super::queue::{self, Ask, Depth, Known, Lease, Leased, Queue};
use super::store::Epochs;
use crate::answer::StoreError;
use crate::clock::{self, Clock};
use crate::ids::{CouponId, UserId};

/// Campaigns read in one page.
const LIVE_PAGE: u32 = 500;

#[derive(Clone, Debug)]
pub struct SchedulerSettings {
    pub dress: Dress,
    /// The issuing consumers' group: recovery waits until it has drained the topic.
    pub group: String,
    /// Places published at a time.
    pub batch_max: usize,
    /// Above twice the log's own limit for a publish: a lapsed lease is published again.
    pub lease_ms: u64,
    /// Nothing more is published while so many places have no result yet.
    pub unsettled_max: usize,
    pub poll_ms: u64,
    /// After a join woke it: waits so long for more.
    pub linger_ms: u64,
    /// How often the database is asked for new and changed campaigns.
    pub refresh_ms: u64,
    /// Campaigns worked on at a time.
    pub campaigns_parallel_max: usize,
    /// How long recovery waits for the topic to drain.
    pub drain_max_ms: u64,
    pub recovery_lease_ms: u64,
    /// Longest pause after errors.
    pub backoff_max_ms: u64,
    /// As `coupon::Settings::keep_ms`.
    pub keep_ms: u64,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            dress: Dress::default(),
            group: "coupon-issue-group".into(),
            batch_max: 1_000,
            lease_ms: 30_000,
            unsettled_max: 20_000,
            poll_ms: 200,
            linger_ms: 2,
            refresh_ms: 500,
            campaigns_parallel_max: 8,
            drain_max_ms: 10_000,
            recovery_lease_ms: 60_000,
            backoff_max_ms: 5_000,
            keep_ms: super::Settings::default().keep_ms,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] messaging::log::Error),
}

impl From<opening::Error> for Error {
    fn from(error: opening::Error) -> Self {
        match error {
            opening::Error::Store(error) => error.into(),
            opening::Error::Queue(error) => error.into(),
        }
    }
}

/// How one turn at a campaign went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduled {
    /// So many places are on the topic now.
    Published(usize),
    Nothing,
    /// Another scheduler leads.
    Busy,
}

pub struct Scheduler {
    pub(super) store: Arc<dyn Epochs>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) opening: Opening,
    /// Epochs that the queue did not know when it was last asked.
    pub(super) missed: Mutex<HashSet<(CouponId, i64)>>,
    /// A name of this process that no other has.
    pub(super) owner: String,
    pub(super) settings: SchedulerSettings,
    wake: Arc<Notify>,
}

impl Scheduler {
    /// `wake`: `Coupons::wake` of the same process, or one that nobody notifies. `owner`: at most 64 ASCII characters.
    #[must_use]
    pub fn new(
        store: Arc<dyn Epochs>,
        queue: Arc<dyn Queue>,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        wake: Arc<Notify>,
        owner: String,
        settings: SchedulerSettings,
    ) -> Self {
        Self {
            opening: Opening::new(store.clone(), queue.clone(), settings.keep_ms),
            missed: Mutex::default(),
            store,
            queue,
            log,
            clock,
            owner,
            settings,
            wake,
        }
    }

    /// Works until cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut campaigns = Vec::new();
        let mut refresh_at = Instant::now();
        let mut failures = 0;
        while !cancel.is_cancelled() {
            let mut result = Ok(false);
            if Instant::now() >= refresh_at {
                match self.attend_once().await {
                    Ok(attended) => campaigns = attended,
                    Err(error) => result = Err(error),
                }
                refresh_at = Instant::now() + Duration::from_millis(self.settings.refresh_ms);
            }
            if result.is_ok() {
                result = self.round(&campaigns).await;
            }
            let more = match result {
                Ok(more) => {
                    if failures > 0 {
                        tracing::info!("coupon scheduler works again");
                    }
                    failures = 0;
                    more
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(%error, "coupon scheduler waits");
                    }
                    false
                }
            };
            self.pause(more, failures, &cancel).await;
        }
        for campaign in &campaigns {
            if let Err(error) = self.queue.resign(campaign.id, &self.owner).await {
                tracing::debug!(%error, "a lead is left to lapse");
                break;
            }
        }
    }

    async fn pause(&self, more: bool, failures: u32, cancel: &CancellationToken) {
        if more {
            return;
        }
        if failures > 0 {
            let pause =
                (self.settings.poll_ms << failures.min(10)).min(self.settings.backoff_max_ms);
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
            return;
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(self.settings.poll_ms)) => {}
            () = self.wake.notified() => {
                tokio::time::sleep(Duration::from_millis(self.settings.linger_ms)).await;
            }
        }
    }

    /// A turn at every campaign; whether any has more to do at once.
    async fn round(&self, campaigns: &[Campaign]) -> Result<bool, Error> {
        let parallel_max = self.settings.campaigns_parallel_max.max(1);
        let mut left = campaigns.iter();
        let mut turns = FuturesUnordered::new();
        let mut more = false;
        let mut failed = None;
        loop {
            while turns.len() < parallel_max
                && let Some(campaign) = left.next()
            {
                turns.push(self.schedule_once(campaign));
            }
            match turns.next().await {
                None => break,
                Some(Ok(Scheduled::Published(count))) => more |= count >= self.settings.batch_max,
                Some(Ok(Scheduled::Nothing | Scheduled::Busy)) => {}
                Some(Err(error)) => failed = Some(error),
            }
        }
        failed.map_or(Ok(more), Err)
    }

    /// Publishes one batch of a campaign's places: leased, acknowledged by the log, then acknowledged in the queue.
    ///
    /// # Errors
    /// What was published stays so; what was not goes back to its place.
    pub async fn schedule_once(&self, campaign: &Campaign) -> Result<Scheduled, Error> {
        let now = self.clock.now();
        let ask = Ask {
            coupon: campaign.id,
            owner: &self.owner,
            now_us: now.as_microsecond(),
            lease_ms: self.settings.lease_ms,
            entries_max: self.settings.batch_max,
            unsettled_max: self.settings.unsettled_max,
        };
        let lease = match self.queue.lease(ask).await? {
            Leased::Some(lease) => lease,
            Leased::Nothing => return Ok(Scheduled::Nothing),
            Leased::Busy => return Ok(Scheduled::Busy),
        };
        let dress = &self.settings.dress;
        let record = |waiting| events::record(dress, campaign, lease.epoch, waiting, now);
        let records = lease.entries.iter().copied().map(record).collect();
        let results = self.log.publish(records).await;
        self.hand_over(&lease, results).await
    }

    async fn hand_over<T>(
        &self,
        lease: &Lease,
        results: Vec<Result<T, messaging::log::Error>>,
    ) -> Result<Scheduled, Error> {
        let mut published: Vec<UserId> = Vec::with_capacity(results.len());
        let mut returned = Vec::new();
        let mut failed = None;
        for (entry, result) in lease.entries.iter().zip(results) {
            match result {
                Ok(_) => published.push(entry.user),
                Err(error) => {
                    returned.push((entry.user, entry.sequence));
                    failed = Some(error);
                }
            }
        }
        if !published.is_empty() {
            let count = published.len() as u64;
            metrics::counter!("madang_coupon_published_total").increment(count);
            if !self.queue.acknowledge(lease, &published).await? {
                tracing::debug!(
                    coupon = lease.coupon.get(),
                    "another scheduler leads by now"
                );
                return Ok(Scheduled::Busy);
            }
        }
        if let Some(error) = failed {
            self.queue.give_back(lease.coupon, &returned).await?;
            return Err(error.into());
        }
        Ok(Scheduled::Published(published.len()))
    }

    /// Makes the queue ready if it must be, tells it of every campaign, and answers those to work on.
    ///
    /// # Errors
    /// Those of the stores: nothing is to be scheduled then.
    pub async fn attend_once(&self) -> Result<Vec<Campaign>, Error> {
        if !self.ensure_ready().await? {
            return Ok(Vec::new());
        }
        let mut attended = Vec::new();
        let mut total = Depth::default();
        let mut missed = HashSet::new();
        for campaign in self.live().await? {
            let known = self.queue.refresh(&self.opening.terms(&campaign)).await?;
            match known {
                Known::Current(depth) => {
                    total.waiting += depth.waiting;
                    total.leased += depth.leased;
                    total.unsettled += depth.unsettled;
                    attended.push(campaign);
                }
                Known::Newer => {}
                Known::Missing | Known::Recovering | Known::Older => {
                    missed.insert((campaign.id, campaign.range.epoch));
                    self.heal(&campaign).await?;
                }
            }
        }
        *self.missed.lock() = missed;
        let gauge = |phase, value: u64| {
            metrics::gauge!("madang_coupon_queue_depth", "phase" => phase).set(value as f64);
        };
        gauge("waiting", total.waiting);
        gauge("leased", total.leased);
        gauge("unsettled", total.unsettled);
        Ok(attended)
    }

    /// Campaigns whose places or results still matter: for the first half of the time that the queue keeps them.
    pub(super) async fn live(&self) -> Result<Vec<Campaign>, Error> {
        let half_us = i64::try_from(self.settings.keep_ms / 2 * 1_000).unwrap_or(i64::MAX);
        let now_us = self.clock.now().as_microsecond();
        let ended_after = clock::from_us(now_us.saturating_sub(half_us));
        let mut live: Vec<Campaign> = Vec::new();
        loop {
            let after = live.last().map(|campaign| campaign.id);
            let page = self.store.live(ended_after, after, LIVE_PAGE).await?;
            let full = page.len() >= LIVE_PAGE as usize;
            live.extend(page);
            if !full {
                return Ok(live);
            }
        }
    }
}
