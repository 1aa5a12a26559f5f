//! Coupons in SQL: campaigns, holdings, issues, epochs. The quota, the winners' range and who holds what are kept here and nowhere else.
//! Orders change a holding's status in their own transaction. Built by the binary; behind three ports of the feature.

mod audit;
mod epochs;
mod issue;
mod rows;
mod seed;

use async_trait::async_trait;
use commerce::answer::{Answered, Keyed, StoreError};
use commerce::coupon::{
    AuditFacts, Campaign, Change, Held, IssueMode, NewCampaign, Refusal, State, Store,
};
use commerce::ids::{CouponId, UserCouponId, UserId};
use commerce::page::PageRequest;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait, Value};

use super::idempotency::keyed;
use super::{Database, Dialect, Error, Transaction};

pub use seed::{Seed, seed};

pub struct SqlCoupons {
    db: Database,
}

impl SqlCoupons {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    async fn campaigns(&self, rest: &str, values: Vec<Value>) -> Result<Vec<Campaign>, Error> {
        let sql = format!("SELECT {} FROM coupons {rest}", rows::CAMPAIGN);
        let found = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, values));
        found.await?.iter().map(rows::campaign).collect()
    }
}

#[async_trait]
impl Store for SqlCoupons {
    async fn create(
        &self,
        campaign: Keyed<'_, NewCampaign, Campaign, Refusal>,
    ) -> Result<Answered, StoreError> {
        let dialect = self.db.dialect();
        keyed(&self.db, "sql.coupon-create", campaign, |tx, new, _| {
            Box::pin(async move {
                let campaign = new.campaign();
                rows::insert(tx, dialect, "INSERT", &campaign).await?;
                Ok(Ok(campaign))
            })
        })
        .await
    }

    async fn change(
        &self,
        change: Keyed<'_, Change, Campaign, Refusal>,
    ) -> Result<Answered, StoreError> {
        let dialect = self.db.dialect();
        keyed(&self.db, "sql.coupon-change", change, |tx, change, _| {
            Box::pin(apply(tx, dialect, change))
        })
        .await
    }

    async fn find(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError> {
        let found = self.campaigns("WHERE id = ?", vec![coupon.get().into()]);
        Ok(found.await?.pop())
    }

    async fn claimable(
        &self,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Vec<Campaign>, StoreError> {
        let now_us = now.as_microsecond();
        let after = page.after.map_or(0, |cursor| cursor.major);
        let rest = "WHERE id > ? AND state = ? AND claim_from_us <= ? AND claim_to_us > ? AND issued < quota ORDER BY id LIMIT ?";
        let values = vec![
            after.into(),
            State::Open.word().into(),
            now_us.into(),
            now_us.into(),
            (i64::from(page.limit) + 1).into(),
        ];
        Ok(self.campaigns(rest, values).await?)
    }

    async fn held_by(&self, user: UserId, limit: u32) -> Result<Vec<Held>, StoreError> {
        let sql = format!(
            "SELECT h.id, h.coupon_id, c.name, c.discount_amount, h.status, h.issued_us, h.used_us,
                CASE WHEN c.expires_us <= {now} THEN 1 ELSE 0 END
            FROM user_coupons h JOIN coupons c ON c.id = h.coupon_id
            WHERE h.user_id = ? ORDER BY h.issued_us DESC, h.id DESC LIMIT ?",
            now = self.db.dialect().now_us()
        );
        let values = vec![user.get().into(), i64::from(limit).into()];
        let found = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, values))
            .await;
        let held: Result<_, Error> = found.map_err(Error::from)?.iter().map(rows::held).collect();
        Ok(held?)
    }

    async fn holding(
        &self,
        coupon: CouponId,
        user: UserId,
    ) -> Result<Option<UserCouponId>, StoreError> {
        Ok(holding(self.db.reader(), self.db.dialect(), coupon, user).await?)
    }

    async fn audit(&self, last: &[(CouponId, i64)]) -> Result<Vec<AuditFacts>, StoreError> {
        Ok(audit::facts(&self.db, last).await?)
    }
}

async fn apply(
    tx: &Transaction,
    dialect: Dialect,
    change: &Change,
) -> Result<Result<Campaign, Refusal>, Error> {
    let locked = rows::lock(tx, dialect, &[change.id]).await?.pop();
    let Some(before) = locked else {
        return Ok(Err(Refusal::NotFound));
    };
    let after = match change.decide(&before) {
        Ok(after) => after,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if after != before {
        rows::update(tx, dialect, &after).await?;
    }
    Ok(Ok(after))
}

async fn holding(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    coupon: CouponId,
    user: UserId,
) -> Result<Option<UserCouponId>, Error> {
    let select = dialect.statement(
        "SELECT id FROM user_coupons WHERE coupon_id = ? AND user_id = ?",
        vec![coupon.get().into(), user.get().into()],
    );
    let row = connection.query_one_raw(select).await?;
    row.map(|row| rows::id(&row, 0)).transpose()
}

/// Campaigns that go through the queue.
fn queue_word() -> Value {
    IssueMode::Queue.word().into()
}
