//! A campaign, its rules for being changed, and the coupons that people hold.
//! Who wins is decided in `issue`; how people queue is the port in `queue`. Built by the stores and the routes.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::amount::{Name, Won};
use crate::ids::{CouponId, UserCouponId, UserId};
use crate::json::bounded;

use super::Refusal;

/// Amounts and counts of a campaign travel in JVM ints.
const INT_MAX: i64 = i32::MAX as i64;

macro_rules! int {
    ($(#[$doc:meta])* $name:ident, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
        #[schema(value_type = i64, minimum = 1, maximum = 2_147_483_647_i64, example = $example)]
        pub struct $name(i64);

        impl $name {
            #[must_use]
            pub fn get(self) -> i64 {
                self.0
            }
        }

        bounded!($name);

        impl TryFrom<i64> for $name {
            type Error = String;

            fn try_from(value: i64) -> Result<Self, String> {
                if (1..=INT_MAX).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(format!("must be an integer from 1 to {INT_MAX}"))
                }
            }
        }
    };
}

int!(
    /// How many coupons a campaign may issue: 1 to 2^31 - 1.
    Quota,
    1000
);
int!(
    /// What a coupon takes off an order, in the currency's minor unit: 1 to 2^31 - 1.
    Discount,
    5000
);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = CouponState)]
pub enum State {
    Open,
    /// Nobody joins and nothing is issued; whoever waits keeps the place.
    Paused,
    /// For good: whoever still waits is refused.
    Closed,
}

impl State {
    /// The word it is stored as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Paused => "PAUSED",
            Self::Closed => "CLOSED",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Paused, Self::Closed]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// Fixed when the campaign is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = CouponIssueMode)]
pub enum IssueMode {
    /// Through the first-come queue.
    #[default]
    Queue,
    /// One locked transaction a request.
    Direct,
}

impl IssueMode {
    /// The word it is stored as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queue => "QUEUE",
            Self::Direct => "DIRECT",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Queue, Self::Direct]
            .into_iter()
            .find(|mode| mode.word() == word)
    }
}

/// A campaign as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    pub id: CouponId,
    pub name: Name,
    pub discount_amount: Discount,
    pub min_order_amount: Won,
    pub quota: Quota,
    /// Coupons of it that people hold.
    pub issued: i64,
    /// Joins are taken from here...
    pub claim_from: Timestamp,
    /// ...until just before here.
    pub claim_to: Timestamp,
    /// Coupons held can be used until just before here.
    pub expires_at: Timestamp,
    pub state: State,
    pub issue_mode: IssueMode,
    pub range: Range,
    /// The highest number that any epoch may have given out.
    pub ceiling: i64,
    /// The last epoch that the queue was told of; 0 before the first.
    pub opened_epoch: i64,
    /// Rises with every change that the queue must hear of.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The winners of an epoch: `base < sequence <= base + slots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub epoch: i64,
    pub base: i64,
    pub slots: i64,
}

impl Range {
    #[must_use]
    pub fn end(self) -> i64 {
        self.base + self.slots
    }
}

/// A campaign to be created; its id was taken before the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCampaign {
    pub id: CouponId,
    pub name: Name,
    pub discount_amount: Discount,
    pub min_order_amount: Won,
    pub quota: Quota,
    pub claim_from: Timestamp,
    pub claim_to: Timestamp,
    pub expires_at: Timestamp,
    pub issue_mode: IssueMode,
    pub at: Timestamp,
}

impl NewCampaign {
    #[must_use]
    pub fn campaign(&self) -> Campaign {
        Campaign {
            id: self.id,
            name: self.name.clone(),
            discount_amount: self.discount_amount,
            min_order_amount: self.min_order_amount,
            quota: self.quota,
            issued: 0,
            claim_from: self.claim_from,
            claim_to: self.claim_to,
            expires_at: self.expires_at,
            state: State::Open,
            issue_mode: self.issue_mode,
            range: Range {
                epoch: 1,
                base: 0,
                slots: self.quota.get(),
            },
            ceiling: self.quota.get(),
            opened_epoch: 0,
            version: 1,
            created_at: self.at,
            updated_at: self.at,
        }
    }
}

/// What is to become of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Pause,
    Resume,
    Close,
    Patch(Patch),
}

/// Fields to change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub name: Option<Name>,
    pub discount_amount: Option<Discount>,
    pub min_order_amount: Option<Won>,
    pub quota: Option<Quota>,
    pub claim_from: Option<Timestamp>,
    pub claim_to: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: CouponId,
    pub wish: Wish,
    pub at: Timestamp,
}

impl Change {
    /// What the campaign becomes. The row is locked meanwhile.
    ///
    /// # Errors
    /// A closed campaign stays as it is; a quota below what is issued, or a window that ends before it begins.
    pub fn decide(&self, before: &Campaign) -> Result<Campaign, Refusal> {
        let mut after = before.clone();
        match &self.wish {
            Wish::Close => after.state = State::Closed,
            _ if before.state == State::Closed => return Err(Refusal::Closed),
            Wish::Pause => after.state = State::Paused,
            Wish::Resume => after.state = State::Open,
            Wish::Patch(patch) => patch.apply(&mut after)?,
        }
        if after != *before {
            after.version += 1;
            after.updated_at = self.at;
        }
        Ok(after)
    }
}

impl Patch {
    fn apply(&self, campaign: &mut Campaign) -> Result<(), Refusal> {
        if let Some(name) = &self.name {
            campaign.name = name.clone();
        }
        if let Some(discount) = self.discount_amount {
            campaign.discount_amount = discount;
        }
        if let Some(minimum) = self.min_order_amount {
            campaign.min_order_amount = minimum;
        }
        if let Some(quota) = self.quota {
            if quota.get() < campaign.issued {
                return Err(Refusal::QuotaTooLow {
                    given: campaign.issued,
                });
            }
            // What was issued before this epoch keeps its share of the quota.
            campaign.range.slots += quota.get() - campaign.quota.get();
            campaign.quota = quota;
            campaign.ceiling = campaign.ceiling.max(campaign.range.end());
        }
        campaign.claim_from = self.claim_from.unwrap_or(campaign.claim_from);
        campaign.claim_to = self.claim_to.unwrap_or(campaign.claim_to);
        campaign.expires_at = self.expires_at.unwrap_or(campaign.expires_at);
        if campaign.claim_from >= campaign.claim_to || campaign.expires_at < campaign.claim_to {
            return Err(Refusal::Window);
        }
        Ok(())
    }
}

impl Campaign {
    /// The next epoch: numbers begin above every number that may have been given out, for the coupons not yet issued.
    #[must_use]
    pub fn next_epoch(&self) -> Self {
        let range = Range {
            epoch: self.range.epoch + 1,
            base: self.ceiling,
            slots: (self.quota.get() - self.issued).max(0),
        };
        Self {
            range,
            ceiling: range.end(),
            opened_epoch: range.epoch,
            version: self.version + 1,
            ..self.clone()
        }
    }

    /// Whether a coupon of a campaign that issues directly may go to somebody who holds `held` of it. The row is locked meanwhile.
    ///
    /// # Errors
    /// The reason why not.
    pub fn issue_directly(
        &self,
        held: Option<UserCouponId>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(id) = held {
            return Err(Refusal::AlreadyIssued(id));
        }
        self.claimable(now)?;
        if self.issued >= self.quota.get() {
            return Err(Refusal::SoldOut);
        }
        Ok(())
    }

    /// Whether the coupon may be claimed now, the quota aside.
    ///
    /// # Errors
    /// The reason why not.
    fn claimable(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.state {
            State::Closed => Err(Refusal::Closed),
            State::Paused => Err(Refusal::Paused),
            State::Open if now < self.claim_from => Err(Refusal::NotOpen),
            State::Open if now >= self.claim_to => Err(Refusal::Ended),
            State::Open => Ok(()),
        }
    }
}

/// A coupon that a user holds, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserCoupon)]
pub struct Held {
    pub user_coupon_id: UserCouponId,
    pub coupon_id: CouponId,
    pub coupon_name: Name,
    pub discount_amount: Discount,
    pub status: HeldStatus,
    pub issued_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = UserCouponStatus)]
pub enum HeldStatus {
    Available,
    /// Kept for an order whose payment is not settled.
    Reserved,
    Used,
    /// Never stored: it follows from the campaign's expiry where the coupon was not used.
    Expired,
}

impl HeldStatus {
    /// The word it is stored as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Reserved => "RESERVED",
            Self::Used => "USED",
            Self::Expired => "EXPIRED",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Available, Self::Reserved, Self::Used, Self::Expired]
            .into_iter()
            .find(|status| status.word() == word)
    }
}

/// Who holds a coupon of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub user: UserId,
    pub user_coupon: UserCouponId,
    /// 0 where it did not come through the queue.
    pub sequence: i64,
}
