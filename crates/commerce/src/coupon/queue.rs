//! The queue port: who comes first, atomically, with numbers that are never given twice within an epoch.
//! It orders and sheds; who wins is decided against the database. Two adapters, Redis and SQLite; one contract suite.
//! The join routes, the scheduler, the issuing consumer and recovery call it.

use async_trait::async_trait;

use super::model::{Campaign, Holder, Range, State};
use crate::ids::{CouponId, UserCouponId, UserId};
use crate::together::Gone;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Not reachable or no answer in time; whether it was done is not known. Every call may be repeated.
    #[error("coupon queue unavailable: {0}")]
    Unavailable(String),
    /// The server is not the one that the queue was made ready on: recovery must run first.
    #[error("the coupon queue's server is new or came back different")]
    Different,
    #[error("coupon queue failed: {0}")]
    Failed(String),
}

impl From<Gone> for Error {
    fn from(gone: Gone) -> Self {
        Self::Unavailable(format!("the coupon queue is {gone}"))
    }
}

/// What the queue must know of a campaign. Times in microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub coupon: CouponId,
    pub range: Range,
    pub claim_from_us: i64,
    pub claim_to_us: i64,
    /// The queue may forget the campaign from here on.
    pub keep_until_us: i64,
    pub state: State,
    pub version: i64,
}

impl Terms {
    /// `keep_ms`: how long places and results are kept after the claim window.
    #[must_use]
    pub fn of(campaign: &Campaign, keep_ms: u64) -> Self {
        let keep_us = i64::try_from(keep_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000);
        let claim_to_us = campaign.claim_to.as_microsecond();
        // A window that is moved into the past takes nobody's answer away at once.
        let over_us = claim_to_us.max(campaign.updated_at.as_microsecond());
        Self {
            coupon: campaign.id,
            range: campaign.range,
            claim_from_us: campaign.claim_from.as_microsecond(),
            claim_to_us,
            keep_until_us: over_us.saturating_add(keep_us),
            state: campaign.state,
            version: campaign.version,
        }
    }
}

/// How a place ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Issued(UserCouponId),
    SoldOut,
    Closed,
    /// The place was of an older epoch: the user may join again.
    Restarted,
}

impl Settlement {
    /// The word it is stored as.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Issued(id) => format!("issued:{id}"),
            Self::SoldOut => "sold-out".into(),
            Self::Closed => "closed".into(),
            Self::Restarted => "restarted".into(),
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "sold-out" => Some(Self::SoldOut),
            "closed" => Some(Self::Closed),
            "restarted" => Some(Self::Restarted),
            _ => word.strip_prefix("issued:")?.parse().ok().map(Self::Issued),
        }
    }
}

/// A place, as the queue numbers it: the position people see is `sequence - base`, `last - base` the highest given so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub sequence: i64,
    pub base: i64,
    pub last: i64,
}

impl Place {
    #[must_use]
    pub fn position(self) -> i64 {
        self.sequence - self.base
    }

    #[must_use]
    pub fn size(self) -> i64 {
        self.last - self.base
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    Queued(Place),
    AlreadyQueued(Place),
    /// A place of this user is settled; `Restarted` never, which is joined anew.
    Settled(Settlement),
    SoldOut,
    NotOpen,
    Ended,
    Paused,
    Closed,
    /// Recovery is at work on this campaign.
    Recovering,
    /// The queue was not told of this campaign, or lost it.
    Unknown,
}

/// One user's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 0 where the user holds the coupon without a number of this queue.
    pub sequence: i64,
    pub settled: Option<Settlement>,
}

/// The standing of those asked for, in their order; `None`: not in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standings {
    pub epoch: i64,
    pub base: i64,
    /// The highest number given so far; `base` before the first.
    pub last: i64,
    pub entries: Vec<Option<Entry>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Neither leased nor published.
    pub waiting: u64,
    pub leased: u64,
    /// Published, and without a result yet.
    pub unsettled: u64,
}

/// What the queue makes of terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It follows them (or newer ones of the same epoch).
    Current(Depth),
    Missing,
    Recovering,
    /// It has an older epoch than these terms.
    Older,
    /// It has a newer epoch: these terms are out of date.
    Newer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub user: UserId,
    pub sequence: i64,
    pub joined_us: i64,
}

/// Numbers handed to a scheduler until the lease lapses. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub coupon: CouponId,
    pub epoch: i64,
    /// Fencing number: every change of leader raises it.
    pub token: i64,
    /// Ascending by sequence.
    pub entries: Vec<Waiting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    Some(Lease),
    /// Nobody waits, the campaign is paused or recovering, or too many published numbers have no result yet.
    Nothing,
    /// Another scheduler leads this campaign.
    Busy,
}

/// What a scheduler asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub coupon: CouponId,
    pub owner: &'a str,
    pub now_us: i64,
    pub lease_ms: u64,
    pub entries_max: usize,
    /// Nothing is leased while so many published numbers have no result.
    pub unsettled_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub user: UserId,
    pub sequence: i64,
    pub settlement: Settlement,
}

/// Which run of the queue's server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub id: String,
    /// It has been made ready by `reopen` and takes joins.
    pub ready: bool,
}

#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Gives the user the next number, tells the one they have, or refuses; one atomic step. The window is judged at
    /// `now_us`. Whoever would get a number past the range is told so, and no number is spent.
    async fn join(&self, coupon: CouponId, user: UserId, now_us: i64) -> Result<Joined, Error>;

    /// `None` where the queue does not know the campaign.
    async fn standings(
        &self,
        coupon: CouponId,
        users: &[UserId],
    ) -> Result<Option<Standings>, Error>;

    /// Brings what the queue knows up to date, if it knows the campaign in this epoch.
    async fn refresh(&self, terms: &Terms) -> Result<Known, Error>;

    /// Lowers the slots, unless more numbers are given out already: then it changes nothing and answers how many.
    async fn shrink(&self, coupon: CouponId, slots: i64) -> Result<Result<(), i64>, Error>;

    /// The next numbers in order. Lapsed leases come back first, at their old numbers.
    async fn lease(&self, ask: Ask<'_>) -> Result<Leased, Error>;

    /// These are published: they no longer return when the lease lapses. `false`: another leads by now, nothing was done.
    async fn acknowledge(&self, lease: &Lease, users: &[UserId]) -> Result<bool, Error>;

    /// Back to waiting at their old numbers: those without a result whose number is still this one.
    async fn give_back(&self, coupon: CouponId, numbers: &[(UserId, i64)]) -> Result<(), Error>;

    /// Gives up the leadership of a campaign, so that another need not wait for it to lapse.
    async fn resign(&self, coupon: CouponId, owner: &str) -> Result<(), Error>;

    /// Writes results. A refusal counts only for the number it was decided for (a user who has joined again keeps the
    /// new one); an issued coupon counts whatever the number. A campaign that the queue does not know is passed over.
    async fn settle(&self, coupon: CouponId, results: &[Settled]) -> Result<(), Error>;

    async fn incarnation(&self) -> Result<Incarnation, Error>;

    /// Makes this incarnation ready for joins, after it has closed these campaigns for recovery (`Recovering`), as far
    /// as it has them. Answers which incarnation it was done to.
    async fn reopen(&self, coupons: &[CouponId]) -> Result<String, Error>;

    /// Closes one campaign for recovery.
    async fn suspend(&self, coupon: CouponId) -> Result<(), Error>;

    /// Starts the terms' epoch: `holders` are settled, whoever still waits in what is left of an older epoch is numbered
    /// anew in the old order (past the range: sold out). Does nothing where the queue has this epoch or a newer one.
    async fn rebuild(&self, terms: &Terms, holders: &[Holder]) -> Result<(), Error>;

    /// Answers once the queue does.
    async fn ping(&self) -> Result<(), Error>;
}
