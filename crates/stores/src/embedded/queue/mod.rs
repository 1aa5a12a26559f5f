//! The coupon queue in a local SQLite file: the embedded default, for one `serve`. Each call is one transaction; joins are grouped.
//! The file survives a crash with every answer it gave, so it never comes back different.
//! Built by the binary; behind the feature's `Queue` port.

mod joins;
mod rows;
mod turns;

use async_trait::async_trait;
use commerce::coupon::Queue;
use commerce::coupon::model::Holder;
use commerce::coupon::queue::{
    Ask, Depth, Error, Incarnation, Joined, Known, Lease, Leased, Settled, Standings, Terms,
};
use commerce::ids::{CouponId, UserId};
use commerce::together::{self, Together};

use crate::joining::{self, Join};
use crate::sql::{self, Database, follow_up, within};
use joins::Joins;
use rows::Meta;

const INCARNATION: &str = "sqlite";

#[derive(Clone, Debug)]
pub struct Settings {
    pub joins: together::Settings,
    /// Rows deleted in one transaction when what is over is pruned.
    pub prune_batch_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            joins: together::Settings::default(),
            prune_batch_max: 5_000,
        }
    }
}

pub struct EmbeddedQueue {
    db: Database,
    joining: Together<Joins>,
    prune_batch_max: u32,
}

impl EmbeddedQueue {
    /// `db`: SQLite, with the schema. Must be called within a tokio runtime: it starts the task that joins.
    #[must_use]
    pub fn new(db: Database, settings: &Settings) -> Self {
        let joining = joining::start(&settings.joins, Joins(db.clone()));
        Self {
            db,
            joining,
            prune_batch_max: settings.prune_batch_max.max(1),
        }
    }

    /// Forgets campaigns that were to be kept until before `now_us`; how many rows went. For the janitor.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn prune_once(&self, now_us: i64) -> Result<u64, Error> {
        let limit = i64::from(self.prune_batch_max);
        let pruned = follow_up(&self.db, "sql.queue-prune", |tx, _| {
            Box::pin(async move {
                let over = "SELECT coupon_id FROM coupon_queues WHERE keep_until_us < ?";
                let sql = format!(
                    "DELETE FROM coupon_queue_entries WHERE (coupon_id, user_id) IN (SELECT coupon_id, user_id FROM coupon_queue_entries WHERE coupon_id IN ({over}) LIMIT ?)"
                );
                let gone = rows::run(tx, &sql, vec![now_us.into(), limit.into()]).await?;
                if gone > 0 {
                    return Ok(gone);
                }
                let sql = "DELETE FROM coupon_queues WHERE keep_until_us < ?";
                rows::run(tx, sql, vec![now_us.into()]).await
            })
        });
        pruned.await.map_err(of_sql)
    }

    async fn set(&self, sql: &'static str, values: Vec<sea_orm::Value>) -> Result<(), Error> {
        let values = &values;
        let done = within(&self.db, "sql.queue-change", |tx, _| {
            Box::pin(async move { rows::run(tx, sql, values.clone()).await })
        });
        done.await.map(drop).map_err(of_sql)
    }

    async fn meta(&self, coupon: CouponId) -> Result<Option<Meta>, Error> {
        rows::meta(self.db.reader(), coupon).await.map_err(of_sql)
    }

    async fn depth(&self, coupon: CouponId) -> Result<Depth, sql::Error> {
        let sql = "SELECT phase, COUNT(*) FROM coupon_queue_entries WHERE coupon_id = ? AND phase < 3 GROUP BY phase";
        let mut depth = Depth::default();
        for row in rows::query(self.db.reader(), sql, vec![coupon.get().into()]).await? {
            let count: i64 = row.try_get_by(1)?;
            let count = u64::try_from(count).unwrap_or(0);
            match row.try_get_by::<i64, _>(0)? {
                rows::WAITING => depth.waiting = count,
                rows::LEASED => depth.leased = count,
                _ => depth.unsettled = count,
            }
        }
        Ok(depth)
    }
}

fn of_sql(error: sql::Error) -> Error {
    match error {
        sql::Error::Unavailable(text)
        | sql::Error::Conflict(text)
        | sql::Error::OutcomeUnknown(text) => Error::Unavailable(text),
        error @ sql::Error::Full(_) => Error::Unavailable(error.to_string()),
        other => Error::Failed(other.to_string()),
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn join(&self, coupon: CouponId, user: UserId, now_us: i64) -> Result<Joined, Error> {
        let join = Join {
            coupon,
            user,
            now_us,
        };
        joining::join(&self.joining, join).await
    }

    async fn standings(
        &self,
        coupon: CouponId,
        users: &[UserId],
    ) -> Result<Option<Standings>, Error> {
        let Some(meta) = self.meta(coupon).await? else {
            return Ok(None);
        };
        let found = rows::entries(self.db.reader(), coupon, users).await;
        let found = found.map_err(of_sql)?;
        Ok(Some(Standings {
            epoch: meta.epoch,
            base: meta.base,
            last: meta.last,
            entries: users.iter().map(|user| found.get(user).copied()).collect(),
        }))
    }

    async fn refresh(&self, terms: &Terms) -> Result<Known, Error> {
        let Some(meta) = self.meta(terms.coupon).await? else {
            return Ok(Known::Missing);
        };
        match meta.epoch.cmp(&terms.range.epoch) {
            std::cmp::Ordering::Less => return Ok(Known::Older),
            std::cmp::Ordering::Greater => return Ok(Known::Newer),
            std::cmp::Ordering::Equal if meta.state.is_none() => return Ok(Known::Recovering),
            std::cmp::Ordering::Equal => {}
        }
        let slots = terms.range.slots;
        if terms.version > meta.version || (terms.version == meta.version && slots != meta.slots) {
            let sql = "UPDATE coupon_queues SET slots = ?, claim_from_us = ?, claim_to_us = ?, keep_until_us = ?, state = ?, version = ? WHERE coupon_id = ? AND epoch = ? AND version <= ?";
            let values = vec![
                slots.into(),
                terms.claim_from_us.into(),
                terms.claim_to_us.into(),
                terms.keep_until_us.into(),
                terms.state.word().into(),
                terms.version.into(),
                terms.coupon.get().into(),
                terms.range.epoch.into(),
                terms.version.into(),
            ];
            self.set(sql, values).await?;
        }
        let depth = self.depth(terms.coupon).await.map_err(of_sql)?;
        Ok(Known::Current(depth))
    }

    async fn shrink(&self, coupon: CouponId, slots: i64) -> Result<Result<(), i64>, Error> {
        let shrunk = within(&self.db, "sql.queue-shrink", |tx, _| {
            Box::pin(async move {
                let Some(meta) = rows::meta(tx, coupon).await? else {
                    return Ok::<_, sql::Error>(Ok(()));
                };
                let given = meta.last - meta.base;
                if given > slots {
                    return Ok(Err(given));
                }
                if meta.slots > slots {
                    let sql = "UPDATE coupon_queues SET slots = ? WHERE coupon_id = ?";
                    rows::run(tx, sql, vec![slots.into(), coupon.get().into()]).await?;
                }
                Ok(Ok(()))
            })
        });
        shrunk.await.map_err(of_sql)
    }

    async fn lease(&self, ask: Ask<'_>) -> Result<Leased, Error> {
        turns::lease(&self.db, ask).await.map_err(of_sql)
    }

    async fn acknowledge(&self, lease: &Lease, users: &[UserId]) -> Result<bool, Error> {
        turns::acknowledge(&self.db, lease, users)
            .await
            .map_err(of_sql)
    }

    async fn give_back(&self, coupon: CouponId, numbers: &[(UserId, i64)]) -> Result<(), Error> {
        turns::give_back(&self.db, coupon, numbers)
            .await
            .map_err(of_sql)
    }

    async fn resign(&self, coupon: CouponId, owner: &str) -> Result<(), Error> {
        let sql = "UPDATE coupon_queues SET leader = NULL, leader_until_us = 0 WHERE coupon_id = ? AND leader = ?";
        self.set(sql, vec![coupon.get().into(), owner.into()]).await
    }

    async fn settle(&self, coupon: CouponId, results: &[Settled]) -> Result<(), Error> {
        turns::settle(&self.db, coupon, results)
            .await
            .map_err(of_sql)
    }

    async fn incarnation(&self) -> Result<Incarnation, Error> {
        Ok(Incarnation {
            id: INCARNATION.into(),
            ready: true,
        })
    }

    async fn reopen(&self, coupons: &[CouponId]) -> Result<String, Error> {
        for coupon in coupons {
            self.suspend(*coupon).await?;
        }
        Ok(INCARNATION.into())
    }

    async fn suspend(&self, coupon: CouponId) -> Result<(), Error> {
        let sql = "UPDATE coupon_queues SET state = ? WHERE coupon_id = ?";
        self.set(sql, vec![rows::RECOVERING.into(), coupon.get().into()])
            .await
    }

    async fn rebuild(&self, terms: &Terms, holders: &[Holder]) -> Result<(), Error> {
        turns::rebuild(&self.db, terms, holders)
            .await
            .map_err(of_sql)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.db.ping().await.map_err(of_sql)
    }
}
