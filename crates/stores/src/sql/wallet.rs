//! Wallets and their ledger in SQL: top-ups, balances, history. Payments and refunds are written by the order store, under
//! the same lock: the wallet's row.

use async_trait::async_trait;
use commerce::amount::Won;
use commerce::answer::{Answered, Keyed, StoreError};
use commerce::clock;
use commerce::ids::{EntryId, OrderId, UserId};
use commerce::page::PageRequest;
use commerce::wallet::{Charge, Charged, Entry, EntryKind, Refusal, Store};
use sea_orm::{ConnectionTrait, QueryResult};

use super::idempotency::keyed;
use super::{Database, Dialect, Error, Transaction};

pub struct SqlWallets {
    db: Database,
}

impl SqlWallets {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Store for SqlWallets {
    async fn charge(
        &self,
        charge: Keyed<'_, Charge, Charged, Refusal>,
    ) -> Result<Answered, StoreError> {
        let dialect = self.db.dialect();
        keyed(&self.db, "sql.wallet-charge", charge, |tx, charge, _| {
            Box::pin(apply(tx, dialect, charge))
        })
        .await
    }

    async fn balance(&self, user: UserId) -> Result<Won, StoreError> {
        let select = self.db.statement(
            "SELECT balance FROM wallets WHERE user_id = ?",
            vec![user.get().into()],
        );
        let row = self.db.reader().query_one_raw(select).await;
        match row.map_err(Error::from)? {
            Some(row) => Ok(won(&row, 0)?),
            None => Ok(Won::ZERO),
        }
    }

    async fn history(&self, user: UserId, page: PageRequest) -> Result<Vec<Entry>, StoreError> {
        let mut sql = "SELECT id, kind, amount, balance_after, order_id, created_us FROM wallet_ledger WHERE user_id = ?".to_owned();
        let mut values = vec![user.get().into()];
        if let Some(after) = page.after {
            // Spelled out: SQLite and MySQL both walk the index for it, which MySQL does not for a row comparison.
            sql.push_str(" AND created_us <= ? AND (created_us < ? OR id < ?)");
            values.extend([after.major.into(), after.major.into(), after.minor.into()]);
        }
        sql.push_str(" ORDER BY created_us DESC, id DESC LIMIT ?");
        values.push((i64::from(page.limit) + 1).into());
        let rows = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, values))
            .await
            .map_err(Error::from)?;
        let entries: Result<_, Error> = rows.iter().map(entry).collect();
        Ok(entries?)
    }
}

async fn apply(
    tx: &Transaction,
    dialect: Dialect,
    charge: &Charge,
) -> Result<Result<Charged, Refusal>, Error> {
    let user = charge.user.get();
    let sql = format!(
        "SELECT balance FROM wallets WHERE user_id = ?{}",
        dialect.for_update()
    );
    let row = tx
        .query_one_raw(dialect.statement(sql, vec![user.into()]))
        .await?;
    let before = row.as_ref().map(|row| won(row, 0)).transpose()?;
    let after = match charge.decide(before.unwrap_or_default()) {
        Ok(after) => after,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match before {
        Some(_) => {
            let update = "UPDATE wallets SET balance = ? WHERE user_id = ?";
            let values = vec![after.get().into(), user.into()];
            let done = tx.execute_raw(dialect.statement(update, values)).await?;
            if done.rows_affected() != 1 {
                return Err(Error::guard("wallets"));
            }
        }
        None => open(tx, dialect, user, after).await?,
    }
    let insert = "INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us) VALUES (?, ?, ?, ?, ?, NULL, ?)";
    let values = vec![
        charge.entry_id.into(),
        user.into(),
        EntryKind::Charge.word().into(),
        charge.amount.won().get().into(),
        after.get().into(),
        charge.at.as_microsecond().into(),
    ];
    tx.execute_raw(dialect.statement(insert, values)).await?;
    Ok(Ok(Charged {
        user_id: charge.user,
        charge_amount: charge.amount.won(),
        balance_after_charge: after,
    }))
}

async fn open(tx: &Transaction, dialect: Dialect, user: i64, balance: Won) -> Result<(), Error> {
    let insert = "INSERT INTO wallets (user_id, balance) VALUES (?, ?)";
    let values = vec![user.into(), balance.get().into()];
    let done = tx.execute_raw(dialect.statement(insert, values)).await;
    done.map(drop).map_err(|e| match Error::from(e) {
        // A row that is not there cannot be locked: two first top-ups may meet here. The loser starts again from its read.
        Error::Duplicate(key) => Error::Conflict(key),
        other => other,
    })
}

fn entry(row: &QueryResult) -> Result<Entry, Error> {
    let kind: String = row.try_get_by(1)?;
    let order: Option<i64> = row.try_get_by(4)?;
    Ok(Entry {
        id: EntryId::try_from(row.try_get_by::<i64, _>(0)?).map_err(Error::Other)?,
        kind: EntryKind::from_word(&kind)
            .ok_or_else(|| Error::Other(format!("wallet_ledger.kind {kind}")))?,
        amount: row.try_get_by(2)?,
        balance_after: won(row, 3)?,
        order_id: order
            .map(OrderId::try_from)
            .transpose()
            .map_err(Error::Other)?,
        created_at: clock::from_us(row.try_get_by(5)?),
    })
}

fn won(row: &QueryResult, column: usize) -> Result<Won, Error> {
    Won::try_from(row.try_get_by::<i64, _>(column)?).map_err(Error::Other)
}
