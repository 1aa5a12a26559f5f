//! Coupons: campaigns, the first-come queue, and the coupons people hold. The binary builds `Coupons` for the routes,
//! `Scheduler` for the role that publishes places, `IssueHandler` for the consumer that issues.
//! Using a coupon is the order's affair.

mod audit;
mod directory;
pub mod events;
pub mod handler;
pub mod http;
mod inline;
pub mod issue;
pub mod model;
mod opening;
mod polls;
pub mod queue;
mod recovery;
mod refusal;
mod scheduler;
mod standing;
pub mod store;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::answer::{Answered, Claim, Keyed, StoreError};
use crate::clock::Clock;
use crate::ids::{Allocator, CouponId, Series, UserCouponId, UserId};
use crate::page::{Cursor, Page, PageRequest};
use crate::together;

pub use audit::AuditFacts;
pub use handler::IssueHandler;
pub use inline::InlineTopic;
pub use model::{Campaign, Change, Held, IssueMode, NewCampaign, State, Wish};
pub use queue::Queue;
pub use refusal::Refusal;
pub use scheduler::{Scheduled, Scheduler, SchedulerSettings};
pub use standing::{Standing, Status};
pub use store::{Epochs, Issuing, Store};
pub use watch::Settings as WatchSettings;

use directory::Directory;
use opening::Opening;
use polls::Polls;
use queue::{Joined, Place, Settlement};

#[derive(Clone, Debug)]
pub struct Settings {
    /// How campaigns created from now on issue (`coupon.issue`).
    pub issue_mode: IssueMode,
    /// How old the existence, name and mode of a campaign may be when it is joined.
    pub cache_ms: u64,
    pub cache_max: u64,
    /// How long the queue keeps places and results after the claim window.
    pub keep_ms: u64,
    /// Joins wait so long for a campaign that is being brought into the queue.
    pub opening_wait_ms: u64,
    /// Coupons of one user that are listed.
    pub held_max: u32,
    /// Status polls that wait at the same time.
    pub polls: together::Settings,
    pub watch: watch::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issue_mode: IssueMode::Queue,
            cache_ms: 1_000,
            cache_max: 10_000,
            keep_ms: 7 * 86_400_000,
            opening_wait_ms: 500,
            held_max: 1_000,
            polls: together::Settings::default(),
            watch: watch::Settings::default(),
        }
    }
}

/// The ports that coupons stand on.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub issuing: Arc<dyn Issuing>,
    pub epochs: Arc<dyn Epochs>,
    pub queue: Arc<dyn Queue>,
}

/// How a claim was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    Queued(Place),
    /// The campaign issues directly.
    Issued(UserCouponId),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("refused: {0:?}")]
    Refused(Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// The queue is being made ready for this campaign.
    #[error("the coupon queue is being made ready")]
    Recovering,
    /// As many watch as may.
    #[error("too many streams are open")]
    TooManyStreams,
}

impl From<opening::Error> for Error {
    fn from(error: opening::Error) -> Self {
        match error {
            opening::Error::Store(error) => error.into(),
            opening::Error::Queue(error) => error.into(),
        }
    }
}

/// The coupons of one shop.
pub struct Coupons {
    store: Arc<dyn Store>,
    issuing: Arc<dyn Issuing>,
    queue: Arc<dyn Queue>,
    opening: Opening,
    /// Held by whoever brings a campaign into the queue, so that the first joiners do not all try.
    opening_turn: tokio::sync::Mutex<()>,
    directory: Directory,
    hub: Arc<watch::Hub>,
    polls: Polls,
    wake: Arc<Notify>,
    ids: Arc<Allocator>,
    clock: Arc<dyn Clock>,
    settings: Settings,
}

impl Coupons {
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn new(
        ports: Ports,
        ids: Arc<Allocator>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self {
            directory: Directory::new(ports.store.clone(), settings.cache_ms, settings.cache_max),
            hub: watch::Hub::new(ports.queue.clone(), settings.watch.clone()),
            polls: Polls::start(&settings.polls, ports.queue.clone()),
            opening: Opening::new(ports.epochs, ports.queue.clone(), settings.keep_ms),
            opening_turn: tokio::sync::Mutex::new(()),
            store: ports.store,
            issuing: ports.issuing,
            queue: ports.queue,
            wake: Arc::default(),
            ids,
            clock,
            settings,
        }
    }

    /// Notified at each join: give it to a scheduler of the same process.
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Creates a campaign and tells the queue of it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create(
        &self,
        draft: http::Draft,
        claim: Option<&Claim>,
    ) -> Result<Answered, StoreError> {
        let id = self.ids.one(Series::Coupon).await;
        let id = id.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let id = CouponId::try_from(id).map_err(StoreError::Failed)?;
        let command = draft.campaign(id, self.settings.issue_mode, self.clock.now());
        let queued = command.issue_mode == IssueMode::Queue;
        let keyed = Keyed {
            command,
            claim,
            render: &http::created_answer,
        };
        let answered = self.store.create(keyed).await?;
        if queued
            && matches!(answered, Answered::Fresh(_))
            && let Err(error) = self.opening.first(id).await
        {
            tracing::debug!(coupon = id.get(), %error, "left to the scheduler to open");
        }
        Ok(answered)
    }

    /// Changes a campaign and tells the queue of it.
    ///
    /// # Errors
    /// Those of the stores. A refusal is an answer, save for a quota that the queue has outgrown already.
    pub async fn change(
        &self,
        id: CouponId,
        wish: Wish,
        claim: Option<&Claim>,
    ) -> Result<Answered, Error> {
        self.shrink(id, &wish).await?;
        let keyed = Keyed {
            command: Change {
                id,
                wish,
                at: self.clock.now(),
            },
            claim,
            render: &http::changed_answer(id),
        };
        let answered = self.store.change(keyed).await;
        self.directory.forget(id).await;
        if let Some(campaign) = self.store.find(id).await?
            && campaign.issue_mode == IssueMode::Queue
            && let Err(error) = self.queue.refresh(&self.opening.terms(&campaign)).await
        {
            tracing::debug!(coupon = id.get(), %error, "left to the scheduler to tell the queue");
        }
        self.wake.notify_one();
        Ok(answered?)
    }

    /// A lower quota is asked of the queue first: nobody who has a place may lose it.
    async fn shrink(&self, id: CouponId, wish: &Wish) -> Result<(), Error> {
        let Wish::Patch(model::Patch {
            quota: Some(quota), ..
        }) = wish
        else {
            return Ok(());
        };
        let Some(campaign) = self.store.find(id).await? else {
            return Ok(());
        };
        let lower = campaign.quota.get() - quota.get();
        let slots = campaign.range.slots - lower;
        if campaign.issue_mode == IssueMode::Direct || lower <= 0 || slots < 0 {
            return Ok(());
        }
        match self.queue.shrink(id, slots).await? {
            Ok(()) => Ok(()),
            Err(given) => Err(Error::Refused(Refusal::QuotaTooLow {
                given: campaign.quota.get() - campaign.range.slots + given,
            })),
        }
    }

    /// # Errors
    /// Those of the store, and `NotFound`.
    pub async fn find(&self, id: CouponId) -> Result<Campaign, Error> {
        let found = self.store.find(id).await?;
        found.ok_or(Error::Refused(Refusal::NotFound))
    }

    /// Campaigns that can be claimed now, by id.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claimable(&self, page: PageRequest) -> Result<Page<Campaign>, StoreError> {
        let rows = self.store.claimable(self.clock.now(), page).await?;
        Ok(Page::cut(rows, page.limit, |campaign| Cursor {
            major: campaign.id.get(),
            minor: 0,
        }))
    }

    /// What a user holds, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn held_by(&self, user: UserId) -> Result<Vec<Held>, StoreError> {
        self.store.held_by(user, self.settings.held_max).await
    }

    /// Claims a coupon: a place in the queue, or the coupon at once where the campaign issues directly.
    ///
    /// # Errors
    /// `Refused`, or why it cannot be done now.
    pub async fn claim(&self, coupon: CouponId, user: UserId) -> Result<Claimed, Error> {
        let campaign = self.directory.get(coupon).await?;
        let campaign = campaign.ok_or(Error::Refused(Refusal::NotFound))?;
        let claimed = match campaign.issue_mode {
            IssueMode::Direct => self.issue_directly(coupon, user).await,
            IssueMode::Queue => self.join(&campaign, user).await.map(Claimed::Queued),
        };
        let outcome = match &claimed {
            Ok(_) => "accepted",
            Err(Error::Refused(refusal)) => refusal.code(),
            Err(_) => "unavailable",
        };
        metrics::counter!("madang_coupon_claims_total", "outcome" => outcome).increment(1);
        claimed
    }

    async fn issue_directly(&self, coupon: CouponId, user: UserId) -> Result<Claimed, Error> {
        let id = self.ids.one(Series::UserCoupon).await;
        let id = id.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let id = UserCouponId::try_from(id).map_err(StoreError::Failed)?;
        let now = self.clock.now();
        let issued = self.issuing.issue_direct(coupon, user, id, now).await?;
        issued.map(Claimed::Issued).map_err(Error::Refused)
    }

    async fn join(&self, campaign: &Campaign, user: UserId) -> Result<Place, Error> {
        let joined = self.join_once(campaign.id, user).await?;
        let joined = match joined {
            Joined::Unknown => self.join_unknown(campaign, user).await?,
            joined => joined,
        };
        let refusal = match joined {
            Joined::Queued(place) => {
                self.wake.notify_one();
                return Ok(place);
            }
            Joined::AlreadyQueued(place) => Refusal::AlreadyQueued {
                user,
                position: place.position(),
            },
            Joined::Settled(Settlement::Issued(id)) => Refusal::AlreadyIssued(id),
            Joined::Settled(Settlement::Closed) | Joined::Closed => Refusal::Closed,
            Joined::Settled(Settlement::SoldOut) | Joined::SoldOut => Refusal::SoldOut,
            Joined::Settled(Settlement::Restarted) => Refusal::QueueRestarted,
            Joined::NotOpen => Refusal::NotOpen,
            Joined::Ended => Refusal::Ended,
            Joined::Paused => Refusal::Paused,
            Joined::Recovering | Joined::Unknown => {
                self.wake.notify_one();
                return Err(Error::Recovering);
            }
        };
        Err(Error::Refused(refusal))
    }

    async fn join_once(&self, coupon: CouponId, user: UserId) -> Result<Joined, Error> {
        let now_us = self.clock.now().as_microsecond();
        let joined = self.queue.join(coupon, user, now_us).await;
        if matches!(joined, Err(queue::Error::Different)) {
            // Recovery's turn.
            self.wake.notify_one();
        }
        Ok(joined?)
    }

    /// A campaign that the queue does not know: new, long over, or lost.
    async fn join_unknown(&self, campaign: &Campaign, user: UserId) -> Result<Joined, Error> {
        let now = self.clock.now();
        if now >= campaign.claim_to {
            return Ok(match self.store.holding(campaign.id, user).await? {
                Some(held) => Joined::Settled(Settlement::Issued(held)),
                None => Joined::Ended,
            });
        }
        let wait = Duration::from_millis(self.settings.opening_wait_ms);
        let Ok(_turn) = tokio::time::timeout(wait, self.opening_turn.lock()).await else {
            return Ok(Joined::Recovering);
        };
        // Another may have brought it in while this one waited.
        let joined = self.join_once(campaign.id, user).await?;
        if joined != Joined::Unknown || !self.opening.first(campaign.id).await? {
            return Ok(joined);
        }
        self.join_once(campaign.id, user).await
    }

    /// Ends every event stream: the process is stopping.
    pub fn close_streams(&self) {
        self.hub.close();
    }

    /// Answers once the queue takes joins; for readiness.
    ///
    /// # Errors
    /// Those of the queue.
    pub async fn queue_ready(&self) -> Result<(), queue::Error> {
        self.queue.ping().await?;
        match self.queue.incarnation().await? {
            incarnation if incarnation.ready => Ok(()),
            _ => Err(queue::Error::Different),
        }
    }
}
