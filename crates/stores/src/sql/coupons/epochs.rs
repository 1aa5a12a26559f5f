//! What the scheduler and recovery need of the database: live campaigns, epochs, holders, and who may recover the queue.

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::coupon::model::Holder;
use commerce::coupon::{Campaign, Epochs};
use commerce::ids::{CouponId, UserId};
use jiff::Timestamp;
use sea_orm::ConnectionTrait;

use super::super::{Error, within};
use super::{SqlCoupons, queue_word, rows};

/// The coupon queue's row in `queue_incarnations`.
const QUEUE: &str = "coupon-queue";

#[async_trait]
impl Epochs for SqlCoupons {
    async fn live(
        &self,
        ended_after: Timestamp,
        after: Option<CouponId>,
        limit: u32,
    ) -> Result<Vec<Campaign>, StoreError> {
        let rest = "WHERE id > ? AND claim_to_us > ? AND issue_mode = ? ORDER BY id LIMIT ?";
        let values = vec![
            after.map_or(0, CouponId::get).into(),
            ended_after.as_microsecond().into(),
            queue_word(),
            i64::from(limit).into(),
        ];
        Ok(self.campaigns(rest, values).await?)
    }

    async fn open_first(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError> {
        let dialect = self.db.dialect();
        let opened = within(&self.db, "sql.coupon-open", |tx, _| {
            Box::pin(async move {
                let Some(mut campaign) = rows::lock(tx, dialect, &[coupon]).await?.pop() else {
                    return Ok::<_, Error>(None);
                };
                if campaign.opened_epoch > 0 {
                    return Ok(None);
                }
                campaign.opened_epoch = campaign.range.epoch;
                rows::update(tx, dialect, &campaign).await?;
                Ok(Some(campaign))
            })
        });
        Ok(opened.await?)
    }

    async fn next_epoch(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError> {
        let dialect = self.db.dialect();
        let begun = within(&self.db, "sql.coupon-epoch", |tx, _| {
            Box::pin(async move {
                let Some(campaign) = rows::lock(tx, dialect, &[coupon]).await?.pop() else {
                    return Ok::<_, Error>(None);
                };
                let next = campaign.next_epoch();
                rows::update(tx, dialect, &next).await?;
                Ok(Some(next))
            })
        });
        Ok(begun.await?)
    }

    async fn holders(
        &self,
        coupon: CouponId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Holder>, StoreError> {
        let select = self.db.statement(
            "SELECT user_id, id, sequence FROM user_coupons WHERE coupon_id = ? AND user_id > ? ORDER BY user_id LIMIT ?",
            vec![
                coupon.get().into(),
                after.map_or(0, UserId::get).into(),
                i64::from(limit).into(),
            ],
        );
        let found = self.db.reader().query_all_raw(select).await;
        let holders: Result<_, Error> = found
            .map_err(Error::from)?
            .iter()
            .map(rows::holder)
            .collect();
        Ok(holders?)
    }

    async fn incarnation(&self) -> Result<Option<String>, StoreError> {
        let select = self.db.statement(
            "SELECT incarnation FROM queue_incarnations WHERE name = ?",
            vec![QUEUE.into()],
        );
        let row = self.db.reader().query_one_raw(select).await;
        let Some(row) = row.map_err(Error::from)? else {
            return Ok(None);
        };
        let incarnation: String = row.try_get_by(0).map_err(Error::from)?;
        Ok(Some(incarnation).filter(|it| !it.is_empty()))
    }

    async fn lease_recovery(&self, owner: &str, lease_ms: u64) -> Result<bool, StoreError> {
        let db = &self.db;
        let now = db.dialect().now_us();
        let lease_us = i64::try_from(lease_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000);
        let leased = within(db, "sql.recovery-lease", |tx, _| {
            Box::pin(async move {
                let sql = format!(
                    "UPDATE queue_incarnations SET owner = ?, until_us = {now} + ?
                    WHERE name = ? AND (owner IS NULL OR owner = ? OR until_us < {now})"
                );
                let values = vec![owner.into(), lease_us.into(), QUEUE.into(), owner.into()];
                if tx
                    .execute_raw(db.statement(sql, values))
                    .await?
                    .rows_affected()
                    == 1
                {
                    return Ok::<_, Error>(true);
                }
                let select = "SELECT 1 FROM queue_incarnations WHERE name = ?";
                let there = db.statement(select, vec![QUEUE.into()]);
                if tx.query_one_raw(there).await?.is_some() {
                    return Ok(false);
                }
                let sql = format!(
                    "INSERT INTO queue_incarnations (name, incarnation, owner, until_us) VALUES (?, '', ?, {now} + ?)"
                );
                let values = vec![QUEUE.into(), owner.into(), lease_us.into()];
                tx.execute_raw(db.statement(sql, values))
                    .await
                    .map_err(|e| match Error::from(e) {
                        Error::Duplicate(key) => Error::Conflict(key),
                        other => other,
                    })?;
                Ok(true)
            })
        });
        Ok(leased.await?)
    }

    async fn recovered(&self, owner: &str, incarnation: &str) -> Result<bool, StoreError> {
        let db = &self.db;
        let noted = within(db, "sql.recovery-done", |tx, _| {
            Box::pin(async move {
                let update = db.statement(
                    "UPDATE queue_incarnations SET incarnation = ?, owner = NULL, until_us = 0 WHERE name = ? AND owner = ?",
                    vec![incarnation.into(), QUEUE.into(), owner.into()],
                );
                let done = tx.execute_raw(update).await?;
                Ok::<_, Error>(done.rows_affected() == 1)
            })
        });
        Ok(noted.await?)
    }
}
