//! Filling an empty shop with wallets that have money, each explained by a ledger entry. Safe to repeat: a wallet that is there
//! stays as it is. Called by the command of that name and by `serve --demo`.

use std::collections::HashSet;

use commerce::amount::Won;
use commerce::ids::{Allocator, Series, UserId};
use commerce::wallet::EntryKind;
use sea_orm::ConnectionTrait;

use super::dialect::{chunks, rows};
use super::{Database, Dialect, Error, Transaction, within};

/// Users `first` to `last`, each with `balance`.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    pub first: UserId,
    pub last: UserId,
    pub balance: Won,
    /// Microseconds since the epoch.
    pub at_us: i64,
}

/// Wallets of one transaction.
const SEED_CHUNK: i64 = 1_024;
/// Rows an INSERT statement.
const INSERT_MAX: usize = 128;

/// Opens the wallets that are missing; says how many.
///
/// # Errors
/// Those of the transactions.
pub async fn seed_wallets(db: &Database, numbers: &Allocator, seed: Seed) -> Result<u64, Error> {
    let mut written = 0;
    let (mut first, end) = (seed.first.get(), seed.last.get());
    while first <= end {
        let last = end.min(first + SEED_CHUNK - 1);
        let users: Vec<i64> = (first..=last).collect();
        let entry_ids = numbers
            .take(Series::WalletEntry, users.len())
            .await
            .map_err(|e| Error::Unavailable(e.to_string()))?;
        let (users, entry_ids, seed, dialect) = (&users[..], &entry_ids[..], &seed, db.dialect());
        written += within(db, "sql.seed-wallets", |tx, _| {
            Box::pin(async move { seed_chunk(tx, dialect, seed, users, entry_ids).await })
        })
        .await?;
        first = last + 1;
    }
    Ok(written)
}

async fn seed_chunk(
    tx: &Transaction,
    dialect: Dialect,
    seed: &Seed,
    users: &[i64],
    entry_ids: &[i64],
) -> Result<u64, Error> {
    let (Some(first), Some(last)) = (users.first(), users.last()) else {
        return Ok(0);
    };
    let select = "SELECT user_id FROM wallets WHERE user_id BETWEEN ? AND ?";
    let select = dialect.statement(select, vec![(*first).into(), (*last).into()]);
    let there = tx.query_all_raw(select).await?;
    let there: HashSet<i64> = there
        .iter()
        .map(|row| row.try_get_by(0))
        .collect::<Result<_, _>>()?;
    let missing: Vec<(i64, i64)> = users
        .iter()
        .zip(entry_ids)
        .filter(|(user, _)| !there.contains(user))
        .map(|(user, entry)| (*user, *entry))
        .collect();
    let mut left = &missing[..];
    for count in chunks(missing.len(), INSERT_MAX) {
        let (chunk, rest) = left.split_at(count);
        left = rest;
        insert(tx, dialect, seed, chunk).await?;
    }
    Ok(missing.len() as u64)
}

async fn insert(
    tx: &Transaction,
    dialect: Dialect,
    seed: &Seed,
    chunk: &[(i64, i64)],
) -> Result<(), Error> {
    let balance = seed.balance.get();
    let wallets = format!(
        "INSERT INTO wallets (user_id, balance) VALUES {}",
        rows(chunk.len(), 2)
    );
    let values = chunk
        .iter()
        .flat_map(|(user, _)| [(*user).into(), balance.into()])
        .collect();
    let done = tx.execute_raw(dialect.statement(wallets, values)).await;
    // Another seed or a first top-up may be at it in the same moment: the loser reads again.
    done.map_err(|e| match Error::from(e) {
        Error::Duplicate(key) => Error::Conflict(key),
        other => other,
    })?;
    if balance == 0 {
        return Ok(());
    }
    let ledger = format!(
        "INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, created_us) VALUES {}",
        rows(chunk.len(), 6)
    );
    let values = chunk
        .iter()
        .flat_map(|(user, entry)| {
            [
                (*entry).into(),
                (*user).into(),
                EntryKind::Charge.word().into(),
                balance.into(),
                balance.into(),
                seed.at_us.into(),
            ]
        })
        .collect();
    tx.execute_raw(dialect.statement(ledger, values)).await?;
    Ok(())
}
