//! A transaction that is rolled back on any error and retried as a whole on deadlocks and lock timeouts.
//! Not for reads that need no lock. Every store's writes go through it.

use std::marker::PhantomData;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use messaging::embedded::{Failure, Flush, Turn};
use messaging::failpoint;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::pooled::Pooled;
use super::{Database, Error, Writing};

/// A transaction that is at work: of the file's one writer, or of a connection of the writer's pool.
#[derive(Debug)]
pub enum Transaction {
    File(Turn),
    Pooled(Pooled),
}

/// Second argument of a transaction's work. It carries nothing: it tells the compiler that what the work borrows (`'a`)
/// outlives the transaction (`'t`).
pub type Borrows<'t, 'a> = PhantomData<&'t &'a ()>;

/// Runs `work` in a transaction of the database's writer, committed when it returns `Ok`. On a conflict it is rolled
/// back and run again from its reads, at most `attempts_max` times in all, with a growing pause. `name` tells it from others
/// in metrics, and its COMMIT is a failpoint of that name.
///
/// ```ignore
/// within(db, NAME, |tx, _| Box::pin(async move { store(tx, command).await })).await
/// ```
///
/// # Errors
/// Whatever `work` returned; `Error::OutcomeUnknown` when COMMIT was sent and no answer came.
pub async fn within<'a, T, E, F>(db: &Database, name: &'static str, work: F) -> Result<T, E>
where
    F: for<'t> Fn(&'t Transaction, Borrows<'t, 'a>) -> BoxFuture<'t, Result<T, E>>,
    E: From<Error> + AsSqlError,
{
    repeatedly(db, name, Flush::Now, &work).await
}

/// As `within`, for follow-ups: on SQLite its COMMIT may be that of whoever waits for the file meanwhile.
///
/// # Errors
/// As `within`.
pub async fn follow_up<'a, T, E, F>(db: &Database, name: &'static str, work: F) -> Result<T, E>
where
    F: for<'t> Fn(&'t Transaction, Borrows<'t, 'a>) -> BoxFuture<'t, Result<T, E>>,
    E: From<Error> + AsSqlError,
{
    repeatedly(db, name, Flush::Shared, &work).await
}

async fn repeatedly<'a, T, E, F>(
    db: &Database,
    name: &'static str,
    flush: Flush,
    work: &F,
) -> Result<T, E>
where
    F: for<'t> Fn(&'t Transaction, Borrows<'t, 'a>) -> BoxFuture<'t, Result<T, E>>,
    E: From<Error> + AsSqlError,
{
    let mut attempt = 1;
    let mut may_ask_another = true;
    loop {
        let Failed { error, unanswered } = match once(db, name, flush, work).await {
            Ok(value) => return Ok(value),
            Err(failed) => failed,
        };
        // A pooled connection that the server has closed says so only now. Nothing has been done yet, so another may be asked.
        let is_gone = matches!(error.as_sql_error(), Some(Error::Unavailable(_)));
        if unanswered && is_gone && std::mem::take(&mut may_ask_another) {
            continue;
        }
        let again = error.as_sql_error().is_some_and(Error::is_retryable);
        if !again || attempt >= db.attempts_max {
            return Err(error);
        }
        metrics::counter!("madang_database_transaction_retries_total", "transaction" => name)
            .increment(1);
        let pause_ms = fastrand::u64(1..=2_u64.pow(attempt.min(6)));
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        attempt += 1;
    }
}

/// Why a transaction came to nothing, or to nobody knows what.
struct Failed<E> {
    error: E,
    /// Whether the database has not said a word, neither to the question for a connection nor to the first on it.
    unanswered: bool,
}

async fn once<'a, T, E, F>(
    db: &Database,
    name: &'static str,
    flush: Flush,
    work: &F,
) -> Result<T, Failed<E>>
where
    F: for<'t> Fn(&'t Transaction, Borrows<'t, 'a>) -> BoxFuture<'t, Result<T, E>>,
    E: From<Error> + AsSqlError,
{
    let failed = |unanswered| {
        move |error: Error| Failed {
            error: error.into(),
            unanswered,
        }
    };
    let open = Transaction::begin(db).await.map_err(failed(true))?;
    let worked = match work(&open, PhantomData).await {
        Ok(value) => match failpoint::before(name).await {
            Ok(()) => Ok(value),
            Err(injected) => Err(Error::Unavailable(injected.to_string()).into()),
        },
        Err(error) => Err(error),
    };
    match worked {
        Ok(value) => {
            open.commit(flush).await.map_err(failed(false))?;
            let told = failpoint::after(name).await;
            told.map_err(|injected| Error::OutcomeUnknown(injected.to_string()))
                .map_err(failed(false))?;
            Ok(value)
        }
        Err(error) => {
            let unanswered = open.is_unanswered().await;
            open.rollback().await;
            Err(Failed { error, unanswered })
        }
    }
}

impl Transaction {
    /// A connection of the pool begins with the first question to it.
    async fn begin(db: &Database) -> Result<Self, Error> {
        Ok(match &db.writer {
            Writing::File(file) => Self::File(file.begin().await?),
            Writing::Pool(pool) => {
                Self::Pooled(Pooled::lend(pool.get_mysql_connection_pool()).await?)
            }
        })
    }

    async fn commit(self, flush: Flush) -> Result<(), Error> {
        match self {
            Self::Pooled(pooled) => pooled.commit().await.map_err(|e| commit_error(e.into())),
            Self::File(turn) => turn.commit(flush).await.map_err(|why| match why {
                Failure::Refused(error) => commit_error(error.into()),
                Failure::Spoilt => Error::Conflict(why.to_string()),
                Failure::Unknown => Error::OutcomeUnknown(why.to_string()),
            }),
        }
    }

    /// A lock timeout undoes only its statement. If ROLLBACK itself fails the connection is gone, and with it the transaction.
    async fn rollback(self) {
        match self {
            Self::File(turn) => turn.rollback().await,
            Self::Pooled(pooled) => {
                if let Err(rollback) = pooled.rollback().await {
                    tracing::debug!(%rollback, "rollback failed");
                }
            }
        }
    }

    async fn is_unanswered(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Pooled(pooled) => pooled.is_unanswered().await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::File(_) => DbBackend::Sqlite,
            Self::Pooled(_) => DbBackend::MySql,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::File(turn) => turn.execute_raw(statement).await,
            Self::Pooled(pooled) => pooled.execute(&statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::File(turn) => turn.execute_unprepared(sql).await,
            Self::Pooled(pooled) => pooled.execute_text(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::File(turn) => turn.query_one_raw(statement).await,
            Self::Pooled(pooled) => pooled.query_one(&statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::File(turn) => turn.query_all_raw(statement).await,
            Self::Pooled(pooled) => pooled.query_all(&statement).await,
        }
    }
}

/// A refusal by the server is a refusal; silence is not.
fn commit_error(error: Error) -> Error {
    match error {
        Error::Unavailable(text) => Error::OutcomeUnknown(text),
        other => other,
    }
}

/// How the retry loop looks inside a store's own error.
pub trait AsSqlError {
    fn as_sql_error(&self) -> Option<&Error>;
}

impl AsSqlError for Error {
    fn as_sql_error(&self) -> Option<&Error> {
        Some(self)
    }
}
