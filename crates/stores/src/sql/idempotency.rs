//! Commands that may be repeated: the record of an answer is looked up first and written last, in the effect's transaction.
//! What the answer says is the feature's business. Stores of single commands go through `keyed`; the order batch uses
//! `ask`, `found` and `write` itself; the janitor prunes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use commerce::answer::{Answer, Answered, Claim, Keyed, StoreError};
use futures::future::BoxFuture;
use sea_orm::ConnectionTrait;

use super::dialect::{list, padded};
use super::reads::{Answers, Asked, Reads};
use super::writes::Writes;
use super::{AsSqlError, Borrows, Database, Dialect, Error, Transaction, follow_up, within};

/// How often a command is taken up again after another process took its key in the same moment, or its commit got no answer.
const ROUNDS_MAX: u32 = 4;

/// What a key was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub request_hash: [u8; 32],
    pub answer: Answer,
}

impl Record {
    /// What a repeat under this record is told.
    #[must_use]
    pub fn answered(self, claim: &Claim) -> Answered {
        if self.request_hash == claim.request_hash {
            Answered::Replayed(self.answer)
        } else {
            Answered::Mismatch
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(text) | Error::Conflict(text) => Self::Unavailable(text),
            error @ Error::Full(_) => Self::Unavailable(error.to_string()),
            Error::OutcomeUnknown(text) => Self::OutcomeUnknown(text),
            Error::CalledOff(text) => Self::FollowUp(text),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Carries a command out once per key: looks its record up, runs `effect`, renders the outcome and writes the record last,
/// all in one transaction. `effect` may run several times (each in a transaction of its own, the earlier ones rolled
/// back), and when it refuses it must have written nothing: the refusal's record is committed with whatever is there.
///
/// ```ignore
/// keyed(&self.db, "sql.wallet-charge", command, |tx, charge, _| Box::pin(async move { apply(tx, charge).await })).await
/// ```
///
/// # Errors
/// `StoreError`, by what the client can do about it; nothing is stored then.
pub async fn keyed<'a, C, T, R, F>(
    db: &Database,
    name: &'static str,
    keyed: Keyed<'a, C, T, R>,
    effect: F,
) -> Result<Answered, StoreError>
where
    C: Send + Sync,
    T: Send,
    R: Send,
    F: for<'t> Fn(
            &'t Transaction,
            &'t C,
            Borrows<'t, 'a>,
        ) -> BoxFuture<'t, Result<Result<T, R>, Error>>
        + Send
        + Sync,
{
    let mut round = 1;
    loop {
        let repeated = AtomicBool::new(false);
        let error = match once(db, name, &keyed, &effect, &repeated).await {
            Ok(answered) => return Ok(answered),
            Err(error) => error,
        };
        let Some(claim) = keyed.claim else {
            return Err(error.into());
        };
        match &error {
            Failure::Taken => {}
            Failure::Sql(Error::OutcomeUnknown(_)) => {
                match settle(db, claim).await {
                    Ok(None) => {}
                    // It was this very command, whose answer nobody has seen.
                    Ok(Some(record))
                        if record.request_hash == claim.request_hash
                            && !repeated.load(Ordering::Relaxed) =>
                    {
                        return Ok(Answered::Fresh(record.answer));
                    }
                    Ok(Some(record)) => return Ok(record.answered(claim)),
                    Err(_) => return Err(error.into()),
                }
            }
            Failure::Sql(_) => return Err(error.into()),
        }
        if round >= ROUNDS_MAX {
            return Err(error.into());
        }
        round += 1;
    }
}

/// `repeated`: whether the answer was there already.
async fn once<'a, C, T, R, F>(
    db: &Database,
    name: &'static str,
    keyed: &Keyed<'a, C, T, R>,
    effect: &F,
    repeated: &AtomicBool,
) -> Result<Answered, Failure>
where
    C: Send + Sync,
    T: Send,
    R: Send,
    F: for<'t> Fn(
            &'t Transaction,
            &'t C,
            Borrows<'t, 'a>,
        ) -> BoxFuture<'t, Result<Result<T, R>, Error>>
        + Send
        + Sync,
{
    let dialect = db.dialect();
    within(db, name, |tx, _| {
        Box::pin(async move {
            if let Some(claim) = keyed.claim {
                let mut reads = Reads::new(dialect);
                let asked = ask(&mut reads, &[claim.scope]);
                let mut found = found(&reads.ask(tx).await?, asked)?;
                let record = found.remove(&claim.scope);
                repeated.store(record.is_some(), Ordering::Relaxed);
                if let Some(record) = record {
                    return Ok(record.answered(claim));
                }
            }
            let outcome = effect(tx, &keyed.command, std::marker::PhantomData).await?;
            let answer = (keyed.render)(&outcome);
            if let Some(claim) = keyed.claim {
                insert(tx, dialect, &[(claim, &answer)]).await?;
            }
            Ok(Answered::Fresh(answer))
        })
    })
    .await
}

/// The record of a claim whose COMMIT got no answer, asked for under lock and on a new connection: it waits for the old
/// transaction, which may still be committing. `None`: it can no longer commit.
///
/// # Errors
/// Those of the transaction.
pub async fn settle(db: &Database, claim: &Claim) -> Result<Option<Record>, Error> {
    let dialect = db.dialect();
    let scope = claim.scope;
    within(db, "sql.idempotency-settle", |tx, _| {
        Box::pin(async move {
            let sql = format!("{SELECT} WHERE scope = ?{}", dialect.for_update());
            let row = tx
                .query_one_raw(dialect.statement(sql, vec![scope.to_vec().into()]))
                .await?;
            row.map(|row| Ok(read(&row)?.1)).transpose()
        })
    })
    .await
}

const SELECT: &str = "SELECT scope, request_hash, status, location, body FROM idempotency";

/// The records of these scopes.
pub fn ask(reads: &mut Reads, scopes: &[[u8; 32]]) -> Asked {
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.to_vec()).collect();
    reads.among(SELECT, "scope", "", &scopes)
}

/// As far as they are there.
///
/// # Errors
/// A record that does not decode.
pub fn found(answers: &Answers, asked: Asked) -> Result<HashMap<[u8; 32], Record>, Error> {
    answers.rows(asked).map(read).collect()
}

fn read(row: &sea_orm::QueryResult) -> Result<([u8; 32], Record), Error> {
    let status: i64 = row.try_get_by(2)?;
    let answer = Answer {
        status: u16::try_from(status)
            .map_err(|_| Error::Other(format!("idempotency.status {status}")))?,
        location: row.try_get_by(3)?,
        body: Bytes::from(row.try_get_by::<Vec<u8>, _>(4)?),
    };
    let record = Record {
        request_hash: digest(row, 1)?,
        answer,
    };
    Ok((digest(row, 0)?, record))
}

fn digest(row: &sea_orm::QueryResult, column: usize) -> Result<[u8; 32], Error> {
    let bytes: Vec<u8> = row.try_get_by(column)?;
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| Error::Other(format!("an idempotency digest of {length} bytes")))
}

/// Writes the records, in order of scope. To be called last in the effect's transaction, with each scope once.
///
/// # Errors
/// `Failure::Taken` when another process has used one of the keys since they were looked up: roll back, answer that one from its
/// record and decide the rest again.
pub(super) async fn insert(
    tx: &Transaction,
    dialect: Dialect,
    records: &[(&Claim, &Answer)],
) -> Result<(), Failure> {
    let mut writes = Writes::new(dialect);
    write(&mut writes, records);
    writes.send(tx).await.map_err(taken)
}

/// As `insert`, to go out together with the effect, after all of it. What sending fails with goes through `taken`.
pub(super) fn write(writes: &mut Writes, records: &[(&Claim, &Answer)]) {
    let mut sorted = records.to_vec();
    sorted.sort_unstable_by_key(|(claim, _)| claim.scope);
    let now_us = writes.dialect().now_us();
    let head = "INSERT INTO idempotency (scope, request_hash, status, location, body, created_us)";
    writes.insert(head, &sorted, |(claim, answer), row| {
        row.bytes(&claim.scope)
            .bytes(&claim.request_hash)
            .int(i64::from(answer.status))
            .text(answer.location.as_deref())
            .bytes(&answer.body)
            .expression(now_us);
    });
}

/// A key that another process has used shows itself as a duplicate. Were it a row of the effect, whose ids nobody else has,
/// the rounds that follow would come to the same end.
pub(super) fn taken(error: Error) -> Failure {
    match error {
        Error::Duplicate(_) => Failure::Taken,
        other => Failure::Sql(other),
    }
}

/// Deletes at most `limit` records (1 to 1,024) older than `older_than_us` by the database's clock, oldest first.
/// Answers how many; call again while it is `limit`.
///
/// # Errors
/// Those of the transaction.
pub async fn prune_idempotency(
    db: &Database,
    older_than_us: i64,
    limit: u32,
) -> Result<u64, Error> {
    let dialect = db.dialect();
    let limit = limit.clamp(1, 1_024);
    let sql = format!(
        "SELECT scope FROM idempotency WHERE created_us < {} - ? ORDER BY created_us LIMIT {limit}",
        dialect.now_us()
    );
    let old = db
        .reader()
        .query_all_raw(db.statement(sql, vec![older_than_us.into()]))
        .await?
        .iter()
        .map(|row| row.try_get_by::<Vec<u8>, _>(0))
        .collect::<Result<Vec<_>, _>>()?;
    if old.is_empty() {
        return Ok(0);
    }
    let old = &padded(&old);
    follow_up(db, "sql.idempotency-prune", |tx, _| {
        Box::pin(async move {
            let sql = format!(
                "DELETE FROM idempotency WHERE scope IN ({})",
                list(old.len())
            );
            let scopes = old.iter().map(|s| s.clone().into()).collect();
            let done = tx.execute_raw(dialect.statement(sql, scopes)).await?;
            Ok(done.rows_affected())
        })
    })
    .await
}

/// Why a transaction that writes records was rolled back.
#[derive(Debug)]
pub(super) enum Failure {
    Sql(Error),
    /// Another process has written a record under this key since the lookup.
    Taken,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<sea_orm::DbErr> for Failure {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Sql(error.into())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => error.into(),
            Failure::Taken => {
                Self::Unavailable("another process keeps taking this Idempotency-Key".into())
            }
        }
    }
}

impl AsSqlError for Failure {
    fn as_sql_error(&self) -> Option<&Error> {
        match self {
            Self::Sql(error) => Some(error),
            Self::Taken => None,
        }
    }
}
