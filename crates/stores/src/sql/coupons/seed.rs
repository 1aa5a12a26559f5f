//! Filling an empty shop with campaigns 1 to N. Safe to repeat: a campaign that is there stays as it is.

use commerce::coupon::model::{Discount, Quota};
use commerce::coupon::{IssueMode, NewCampaign};
use commerce::ids::{CouponId, Series};
use jiff::{SignedDuration, Timestamp};

use super::super::ids::raise_floor;
use super::super::{Database, Error, within};
use super::rows;

/// What to fill in.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Campaigns 1 to this.
    pub coupons: i64,
    pub quota: Quota,
    pub discount: Discount,
    pub issue_mode: IssueMode,
    pub now: Timestamp,
    /// How long they can be claimed from now; their coupons can be used for as long again.
    pub open_for: SignedDuration,
}

/// # Errors
/// Those of the transaction; an id or instant out of bounds.
pub async fn seed(db: &Database, seed: &Seed) -> Result<(), Error> {
    raise_floor(db, Series::Coupon, seed.coupons).await?;
    let ends = |spans: i32| {
        seed.now
            .checked_add(seed.open_for * spans)
            .map_err(|e| Error::Setting(e.to_string()))
    };
    let (claim_to, expires_at) = (ends(1)?, ends(2)?);
    let mut campaigns = Vec::new();
    for id in 1..=seed.coupons {
        let new = NewCampaign {
            id: CouponId::try_from(id).map_err(Error::Setting)?,
            name: format!("Coupon {id}").try_into().map_err(Error::Setting)?,
            discount_amount: seed.discount,
            min_order_amount: commerce::amount::Won::ZERO,
            quota: seed.quota,
            claim_from: seed.now,
            claim_to,
            expires_at,
            issue_mode: seed.issue_mode,
            at: seed.now,
        };
        campaigns.push(new.campaign());
    }
    let dialect = db.dialect();
    let campaigns = &campaigns;
    within(db, "sql.seed-coupons", |tx, _| {
        Box::pin(async move {
            for campaign in campaigns {
                rows::insert(tx, dialect, dialect.insert_ignore(), campaign).await?;
            }
            Ok(())
        })
    })
    .await
}
