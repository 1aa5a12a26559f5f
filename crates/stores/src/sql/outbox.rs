//! The outbox in the shop's own database: rows written inside the stores' transactions, read and deleted by the relay.
//! Leases live in a side table, so that rows are only ever inserted and deleted.
//! Orders call `write_rows`; the relay holds an `Outbox`.

mod depth;
mod packed;
mod rows;

use std::collections::HashSet;

use async_trait::async_trait;
use messaging::outbox::{Depth, Error as OutboxError, Lease, Page, Row, Store};
use sea_orm::{ConnectionTrait, Value};
use uuid::Uuid;

pub use self::depth::Waiting;
pub(crate) use self::depth::numbers_waiting;
pub use self::rows::insert_rows;
pub(super) use self::rows::write_rows;
use self::rows::{COLUMNS, row_of, uuid};

use super::dialect::{list, padded};
use super::{AsSqlError, Database, Dialect, Error, Transaction, follow_up};

/// Ids a statement that names rows.
const IDS_MAX: usize = 512;

/// The relay's side of the table.
#[derive(Clone, Debug)]
pub struct Outbox {
    db: Database,
}

impl Outbox {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    /// Where nothing is to be passed over one statement is enough; else the ids come first, and only rows that are wanted follow.
    async fn read(
        &self,
        shard: i32,
        after: Option<Uuid>,
        limit: u32,
        except: &HashSet<Uuid>,
    ) -> Result<Page, Error> {
        let from = |columns: &str| {
            let sql = format!(
                "SELECT {columns} FROM outbox WHERE shard = ? AND id > ? ORDER BY id LIMIT ?"
            );
            let after = after.map(|id| id.to_string()).unwrap_or_default();
            self.db
                .statement(sql, vec![shard.into(), after.into(), limit.into()])
        };
        let page = |looked_at: usize, last: Option<Uuid>, rows: Vec<Row>| Page {
            rows,
            last,
            end: looked_at < limit as usize,
        };
        let reader = self.db.reader();
        if except.is_empty() {
            let found = reader.query_all_raw(from(COLUMNS)).await?;
            let rows: Vec<Row> = found.iter().map(row_of).collect::<Result<_, _>>()?;
            return Ok(page(rows.len(), rows.last().map(|row| row.id), rows));
        }
        let found = reader.query_all_raw(from("id")).await?;
        let ids = found
            .iter()
            .map(|row| uuid(&row.try_get_by::<String, _>(0)?));
        let ids: Vec<Uuid> = ids.collect::<Result<_, _>>()?;
        let wanted: Vec<Uuid> = ids
            .iter()
            .copied()
            .filter(|id| !except.contains(id))
            .collect();
        let rows = self.rows(shard, &wanted).await?;
        Ok(page(ids.len(), ids.last().copied(), rows))
    }

    async fn rows(&self, shard: i32, ids: &[Uuid]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_MAX) {
            let ids = padded(chunk);
            let sql = format!(
                "SELECT {COLUMNS} FROM outbox{} WHERE shard = ? AND id IN ({}) ORDER BY id",
                self.db.dialect().force_primary(),
                list(ids.len())
            );
            let values = std::iter::once(shard.into())
                .chain(ids.iter().map(|id| Value::from(id.to_string())))
                .collect();
            let statement = self.db.statement(sql, values);
            for row in self.db.reader().query_all_raw(statement).await? {
                rows.push(row_of(&row)?);
            }
        }
        Ok(rows)
    }
}

/// What goes wrong inside the store's transactions.
enum Trouble {
    Sql(Error),
    Fenced,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<sea_orm::DbErr> for Trouble {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Sql(error.into())
    }
}

impl AsSqlError for Trouble {
    fn as_sql_error(&self) -> Option<&Error> {
        match self {
            Self::Sql(error) => Some(error),
            Self::Fenced => None,
        }
    }
}

fn unavailable(error: Error) -> OutboxError {
    OutboxError::Unavailable(error.to_string())
}

/// Takes the lease inside a transaction: renewed for its owner, given to another once it has run out.
async fn take(
    tx: &Transaction,
    d: Dialect,
    shard: i32,
    owner: &str,
    lease_ms: u64,
) -> Result<Option<Lease>, Error> {
    let lease_us = i64::try_from(lease_ms.saturating_mul(1_000)).unwrap_or(i64::MAX / 4);
    let read = format!(
        "SELECT owner, token, until_us, {now} FROM outbox_leases WHERE shard = ?{lock}",
        now = d.now_us(),
        lock = d.for_update()
    );
    let Some(row) = tx
        .query_one_raw(d.statement(&read, vec![shard.into()]))
        .await?
    else {
        // Nobody ever had it. Two that find it so meet in the primary key; the other tries again.
        let sql = format!(
            "INSERT INTO outbox_leases (shard, owner, token, until_us) VALUES (?, ?, 1, {now} + ?)",
            now = d.now_us()
        );
        tx.execute_raw(d.statement(sql, vec![shard.into(), owner.into(), lease_us.into()]))
            .await?;
        let row = tx
            .query_one_raw(d.statement(&read, vec![shard.into()]))
            .await?;
        let row = row.ok_or_else(|| Error::guard("outbox_leases"))?;
        return Ok(Some(Lease {
            shard,
            owner: owner.to_owned(),
            token: 1,
            until_us: row.try_get_by(2)?,
        }));
    };
    let holder: String = row.try_get_by(0)?;
    let token: i64 = row.try_get_by(1)?;
    let until_us: i64 = row.try_get_by(2)?;
    let now_us: i64 = row.try_get_by(3)?;
    let lease = Lease {
        shard,
        owner: owner.to_owned(),
        token: if holder == owner { token } else { token + 1 },
        until_us: now_us + lease_us,
    };
    if holder != owner && until_us > now_us {
        return Ok(None);
    }
    let sql = "UPDATE outbox_leases SET owner = ?, token = ?, until_us = ? WHERE shard = ?";
    let values = vec![
        owner.into(),
        lease.token.into(),
        lease.until_us.into(),
        shard.into(),
    ];
    tx.execute_raw(d.statement(sql, values)).await?;
    Ok(Some(lease))
}

/// Deletes these rows unless a higher token has been given; the lease's row stays locked until the end.
async fn delete_held(
    tx: &Transaction,
    d: Dialect,
    lease: &Lease,
    ids: &[Uuid],
) -> Result<(), Trouble> {
    let sql = format!(
        "SELECT token FROM outbox_leases WHERE shard = ? AND owner = ? AND token = ?{}",
        d.for_update()
    );
    let values = vec![
        lease.shard.into(),
        lease.owner.clone().into(),
        lease.token.into(),
    ];
    if tx.query_one_raw(d.statement(sql, values)).await?.is_none() {
        return Err(Trouble::Fenced);
    }
    for chunk in ids.chunks(IDS_MAX) {
        let ids = padded(chunk);
        let sql = format!(
            "{} WHERE shard = ? AND id IN ({})",
            d.delete_by_primary("outbox"),
            list(ids.len())
        );
        let mut values: Vec<Value> = vec![lease.shard.into()];
        values.extend(ids.iter().map(|id| Value::from(id.to_string())));
        tx.execute_raw(d.statement(sql, values)).await?;
    }
    Ok(())
}

#[async_trait]
impl Store for Outbox {
    async fn lease(
        &self,
        shard: i32,
        owner: &str,
        lease_ms: u64,
    ) -> Result<Option<Lease>, OutboxError> {
        let d = self.db.dialect();
        let taken: Result<_, Error> = follow_up(&self.db, "sql.outbox-lease", |tx, _| {
            Box::pin(take(tx, d, shard, owner, lease_ms))
        })
        .await;
        match taken {
            Err(Error::Duplicate(_)) => Ok(None),
            other => other.map_err(unavailable),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), OutboxError> {
        // The token stays, so that the next owner's is higher.
        let sql =
            "UPDATE outbox_leases SET until_us = 0 WHERE shard = ? AND owner = ? AND token = ?";
        let values = vec![
            lease.shard.into(),
            lease.owner.clone().into(),
            lease.token.into(),
        ];
        let statement = self.db.statement(sql, values);
        let done = self.db.writer().execute_raw(statement).await;
        done.map(|_| ()).map_err(|e| unavailable(e.into()))
    }

    async fn head(
        &self,
        shard: i32,
        after: Option<Uuid>,
        limit: u32,
        except: &HashSet<Uuid>,
    ) -> Result<Page, OutboxError> {
        let page = self.read(shard, after, limit.max(1), except).await;
        page.map_err(unavailable)
    }

    async fn delete(&self, lease: &Lease, ids: &[Uuid]) -> Result<(), OutboxError> {
        if ids.is_empty() {
            return Ok(());
        }
        let d = self.db.dialect();
        let deleted = follow_up(&self.db, "sql.outbox-delete", |tx, _| {
            Box::pin(delete_held(tx, d, lease, ids))
        })
        .await;
        deleted.map_err(|trouble| match trouble {
            Trouble::Fenced => OutboxError::Fenced { shard: lease.shard },
            Trouble::Sql(error) => unavailable(error),
        })
    }

    async fn depth(&self) -> Result<Depth, OutboxError> {
        self.count().await.map_err(unavailable)
    }
}
