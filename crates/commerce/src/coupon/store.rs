//! The coupons' store: campaigns, holdings, and what recovery needs. The database is the authority on all of it.
//! One trait a user: the routes' `Store`, the issuing consumer's `Issuing`, the scheduler's `Epochs`. The SQL adapter is all three.

use async_trait::async_trait;
use jiff::Timestamp;

use super::issue::{Decision, Numbered, Snapshot};
use super::model::{Campaign, Change, Held, Holder, NewCampaign};
use super::{AuditFacts, Refusal};
use crate::answer::{Answered, Keyed, StoreError};
use crate::ids::{CouponId, UserCouponId, UserId};
use crate::page::PageRequest;

#[async_trait]
pub trait Store: Send + Sync + 'static {
    async fn create(
        &self,
        campaign: Keyed<'_, NewCampaign, Campaign, Refusal>,
    ) -> Result<Answered, StoreError>;

    /// Locks the campaign, calls `Change::decide`, commits what it decided.
    async fn change(
        &self,
        change: Keyed<'_, Change, Campaign, Refusal>,
    ) -> Result<Answered, StoreError>;

    async fn find(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError>;

    /// Open campaigns whose window holds `now` and which have coupons left, by id; one more than the page's limit.
    async fn claimable(
        &self,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Vec<Campaign>, StoreError>;

    /// What the user holds, newest first, at most `limit`. Expiry is judged by the database's clock.
    async fn held_by(&self, user: UserId, limit: u32) -> Result<Vec<Held>, StoreError>;

    async fn holding(
        &self,
        coupon: CouponId,
        user: UserId,
    ) -> Result<Option<UserCouponId>, StoreError>;

    /// Every campaign against its rows, in one snapshot. `last`: the highest number that the queue has given out, where it
    /// is known; numbers of the winners' range up to it are looked for.
    async fn audit(&self, last: &[(CouponId, i64)]) -> Result<Vec<AuditFacts>, StoreError>;
}

/// A decision over the snapshot that the store has loaded under lock.
pub type Decide<'a> = &'a (dyn Fn(&Snapshot) -> Vec<Decision> + Send + Sync);

#[async_trait]
pub trait Issuing: Send + Sync + 'static {
    /// In one transaction: locks the requests' campaigns in order of id, loads what `decide` needs, commits what it
    /// decided, one decision a request.
    async fn issue(
        &self,
        requests: &[Numbered],
        at: Timestamp,
        decide: Decide<'_>,
    ) -> Result<Vec<Decision>, StoreError>;

    /// One coupon of a campaign that issues directly, in one locked transaction.
    async fn issue_direct(
        &self,
        coupon: CouponId,
        user: UserId,
        id: UserCouponId,
        at: Timestamp,
    ) -> Result<Result<UserCouponId, Refusal>, StoreError>;
}

#[async_trait]
pub trait Epochs: Send + Sync + 'static {
    /// Campaigns that go through the queue and whose window ends after `ended_after`, by id, beginning after `after`.
    async fn live(
        &self,
        ended_after: Timestamp,
        after: Option<CouponId>,
        limit: u32,
    ) -> Result<Vec<Campaign>, StoreError>;

    /// Notes that the queue is told of the campaign for the first time. `None`: that was noted before, or there is no such campaign.
    async fn open_first(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError>;

    /// Locks the campaign and starts its next epoch (`Campaign::next_epoch`).
    async fn next_epoch(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError>;

    /// Who holds the coupon, by user, beginning after `after`.
    async fn holders(
        &self,
        coupon: CouponId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Holder>, StoreError>;

    /// The run of the queue's server that it was last made ready on.
    async fn incarnation(&self) -> Result<Option<String>, StoreError>;

    /// Takes or renews the right to recover the queue, by the database's clock. `false` while another has it.
    async fn lease_recovery(&self, owner: &str, lease_ms: u64) -> Result<bool, StoreError>;

    /// Notes the incarnation and gives the right up. `false`: it was lost meanwhile.
    async fn recovered(&self, owner: &str, incarnation: &str) -> Result<bool, StoreError>;
}
