//! Where a joiner stands: waiting at a place, served, or refused. The queue knows first; what it has forgotten, the database knows.
//! The status route and the event stream tell it.

use serde::Serialize;
use utoipa::ToSchema;

use super::model::IssueMode;
use super::polls::Polled;
use super::queue::{Entry, Place, Settlement, Standings};
use super::{Coupons, Error, Refusal};
use crate::ids::{CouponId, UserCouponId, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = CouponIssueStatus)]
pub enum Status {
    /// Waiting for its turn.
    Processing,
    Success,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CouponIssueStanding)]
pub struct Standing {
    pub status: Status,
    pub message: String,
    /// The place in the queue, from 1; it never changes. The first `totalQuantity` places win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<i64>,
    /// With SUCCESS: the coupon held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_coupon_id: Option<UserCouponId>,
    /// With FAILED: why, such as `coupon-sold-out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Standing {
    pub(super) fn success(id: UserCouponId, queue_position: Option<i64>) -> Self {
        Self {
            status: Status::Success,
            message: "the coupon has been issued".into(),
            queue_position,
            user_coupon_id: Some(id),
            code: None,
        }
    }

    pub(super) fn failed(coupon: CouponId, refusal: Refusal, queue_position: Option<i64>) -> Self {
        Self {
            status: Status::Failed,
            message: refusal.detail(coupon),
            queue_position,
            user_coupon_id: None,
            code: Some(refusal.code().into()),
        }
    }

    /// Nobody knows a place of this shopper, and the queue has lost places: there may have been one.
    fn lost(coupon: CouponId) -> Self {
        Self {
            message: format!(
                "the queue of coupon {coupon} was restarted and knows no place of this user; please join again"
            ),
            ..Self::failed(coupon, Refusal::QueueRestarted, None)
        }
    }

    /// What an entry of the queue means.
    pub(super) fn of(coupon: CouponId, entry: Entry, standings: &Standings) -> Self {
        let place = Place {
            sequence: entry.sequence,
            base: standings.base,
            last: standings.last,
        };
        // A coupon issued in an older epoch has no place in this one.
        let position = Some(place.position()).filter(|p| *p > 0);
        match entry.settled {
            None => Self {
                status: Status::Processing,
                message: format!("waiting at place {}", place.position()),
                queue_position: position,
                user_coupon_id: None,
                code: None,
            },
            Some(Settlement::Issued(id)) => Self::success(id, position),
            Some(Settlement::SoldOut) => Self::failed(coupon, Refusal::SoldOut, position),
            Some(Settlement::Closed) => Self::failed(coupon, Refusal::Closed, position),
            Some(Settlement::Restarted) => Self::failed(coupon, Refusal::QueueRestarted, None),
        }
    }

    /// SUCCESS or FAILED: it will not change by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.status != Status::Processing
    }
}

impl Coupons {
    /// Where a joiner stands.
    ///
    /// # Errors
    /// `NotFound`, `NotJoined`, or why it cannot be told now.
    pub async fn standing(&self, coupon: CouponId, user: UserId) -> Result<Standing, Error> {
        let campaign = self.directory.get(coupon).await?;
        let campaign = campaign.ok_or(Error::Refused(Refusal::NotFound))?;
        let queued = match campaign.issue_mode {
            IssueMode::Direct => Ok(None),
            IssueMode::Queue => self.queued(coupon, user).await,
        };
        if let Ok(Some(standing)) = queued {
            return Ok(standing);
        }
        // The database tells a holder even while the queue is away.
        if let Some(id) = self.store.holding(coupon, user).await? {
            return Ok(Standing::success(id, None));
        }
        queued?;
        let campaign = self.find(coupon).await?;
        if campaign.range.epoch > 1 {
            return Ok(Standing::lost(coupon));
        }
        Err(Error::Refused(Refusal::NotJoined))
    }

    /// # Errors
    /// Those of the queue; `Recovering` where it has lost the campaign and is about to be told of it again.
    async fn queued(&self, coupon: CouponId, user: UserId) -> Result<Option<Standing>, Error> {
        match self.polls.ask(coupon, user).await? {
            Polled::Standing(standing) => Ok(Some(standing)),
            Polled::Nobody => Ok(None),
            Polled::Unknown => {
                let campaign = self.find(coupon).await?;
                match campaign.opened_epoch > 0 && self.clock.now() < campaign.claim_to {
                    true => Err(Error::Recovering),
                    false => Ok(None),
                }
            }
        }
    }
}
