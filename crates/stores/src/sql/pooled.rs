//! A transaction on a connection of MySQL's or MariaDB's pool. It begins with the text of its first question, so BEGIN is no round
//! trip of its own, and several questions can be one text. sea-orm's own transaction gives neither.

use std::fmt;

use futures::TryStreamExt;
use sea_orm::sqlx::mysql::{MySqlConnection, MySqlPool, MySqlRow};
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Either, Executor, MySql};
use sea_orm::{DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;

const BEGIN: &str = "BEGIN";

/// Dropped before its end, its connection is closed, which rolls it back.
pub struct Pooled(Mutex<Lent>);

struct Lent {
    connection: PoolConnection<MySql>,
    state: State,
    /// Whether the server has carried anything out.
    answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has been sent.
    Fresh,
    /// BEGIN was sent alone, and has not been carried out.
    Beginning,
    /// BEGIN has been carried out, or stands before the first question in its text.
    Open,
    Ended,
}

impl Pooled {
    pub async fn lend(pool: &MySqlPool) -> Result<Self, sqlx::Error> {
        Ok(Self(Mutex::new(Lent {
            connection: pool.acquire().await?,
            state: State::Fresh,
            answered: false,
        })))
    }

    /// Whether its first question was sent and came to nothing.
    pub async fn is_unanswered(&self) -> bool {
        let lent = self.0.lock().await;
        lent.state != State::Fresh && !lent.answered
    }

    /// SELECTs as one text, divided by semicolons: the rows of each.
    pub async fn ask(&self, text: &str) -> Result<Vec<Vec<QueryResult>>, DbErr> {
        let mut lent = self.0.lock().await;
        let begins = lent.begins().map_err(query)?;
        let sets = lent.sets(after_begin(begins, text)).await.map_err(query)?;
        lent.answered = true;
        let sets = sets.into_iter().skip(usize::from(begins));
        let results = |rows: Vec<MySqlRow>| rows.into_iter().map(Into::into).collect();
        Ok(sets.map(results).collect())
    }

    pub async fn query_all(&self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut lent = self.0.lock().await;
        let connection = lent.begun().await.map_err(query)?;
        let rows = prepared(statement).fetch_all(connection).await;
        Ok(rows.map_err(query)?.into_iter().map(Into::into).collect())
    }

    pub async fn query_one(&self, statement: &Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut lent = self.0.lock().await;
        let connection = lent.begun().await.map_err(query)?;
        let row = prepared(statement).fetch_optional(connection).await;
        Ok(row.map_err(query)?.map(Into::into))
    }

    pub async fn execute(&self, statement: &Statement) -> Result<ExecResult, DbErr> {
        let mut lent = self.0.lock().await;
        let connection = lent.begun().await.map_err(exec)?;
        let done = prepared(statement).execute(connection).await;
        Ok(done.map_err(exec)?.into())
    }

    /// A text of any number of statements; the rows that they changed are added up.
    pub async fn execute_text(&self, text: &str) -> Result<ExecResult, DbErr> {
        let mut lent = self.0.lock().await;
        let begins = lent.begins().map_err(exec)?;
        let text = AssertSqlSafe(after_begin(begins, text));
        let done = lent.connection.execute(text).await.map_err(exec)?;
        lent.answered = true;
        Ok(done.into())
    }

    /// # Errors
    /// The server's, or none came from it: then it may have happened or not.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(self, word: &'static str) -> Result<(), sqlx::Error> {
        let mut lent = self.0.lock().await;
        if lent.state != State::Fresh {
            lent.connection.execute(word).await?;
        }
        lent.state = State::Ended;
        Ok(())
    }
}

impl Lent {
    /// Whether the text that is sent next is the first.
    fn begins(&mut self) -> Result<bool, sqlx::Error> {
        match self.state {
            State::Fresh => {
                self.state = State::Open;
                Ok(true)
            }
            State::Open => Ok(false),
            // What is asked now would be a transaction of its own.
            State::Beginning | State::Ended => Err(sqlx::Error::Protocol(
                "the transaction did not begin".into(),
            )),
        }
    }

    /// The connection, in a transaction.
    async fn begun(&mut self) -> Result<&mut MySqlConnection, sqlx::Error> {
        if self.begins()? {
            self.state = State::Beginning;
            self.connection.execute(BEGIN).await?;
            self.state = State::Open;
            self.answered = true;
        }
        Ok(&mut self.connection)
    }

    /// What each statement of the text gave.
    async fn sets(&mut self, text: String) -> Result<Vec<Vec<MySqlRow>>, sqlx::Error> {
        let mut answers = self.connection.fetch_many(AssertSqlSafe(text));
        let (mut sets, mut rows) = (Vec::new(), Vec::new());
        while let Some(answer) = answers.try_next().await? {
            match answer {
                Either::Right(row) => rows.push(row),
                Either::Left(_) => sets.push(std::mem::take(&mut rows)),
            }
        }
        Ok(sets)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if matches!(self.state, State::Beginning | State::Open) {
            self.connection.close_on_drop();
        }
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").finish_non_exhaustive()
    }
}

fn after_begin(begins: bool, text: &str) -> String {
    if begins {
        format!("{BEGIN};{text}")
    } else {
        text.to_owned()
    }
}

fn prepared(statement: &Statement) -> sqlx::query::Query<'_, MySql, SqlxValues> {
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

fn query(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

fn exec(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
