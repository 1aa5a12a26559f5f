//! What can go wrong with a statement, sorted by what the caller can do about it.
//! Stores turn these into their feature's own errors; `Database::transact` reads `is_retryable`.

use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, is shutting down, or its pool is exhausted: nothing was done.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// A deadlock, lock timeout or busy file: the whole transaction may be tried again from its reads.
    #[error("transaction conflict: {0}")]
    Conflict(String),
    /// A unique key is taken; the text names the key.
    #[error("duplicate key: {0}")]
    Duplicate(String),
    /// COMMIT was sent and no answer came: the transaction may or may not have happened.
    #[error("outcome of the commit unknown: {0}")]
    OutcomeUnknown(String),
    /// The work inside the transaction gave up for a reason of its caller's: rolled back.
    #[error("called off: {0}")]
    CalledOff(String),
    #[error("{0}")]
    Setting(String),
    /// No room on the database's disk: the transaction is refused as a whole, and may be tried again once there is room.
    #[error("no room on the database's disk: {0}")]
    Full(String),
    /// Anything else: a defect in a statement, a value that does not decode.
    #[error("database error: {0}")]
    Other(String),
}

impl Error {
    /// The whole transaction may be tried again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// A guarded write met a state that its own lock should have ruled out.
    pub fn guard(what: impl Into<String>) -> Self {
        Self::Other(format!("guarded write changed nothing: {}", what.into()))
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(key)) = error.sql_err() {
            return Self::Duplicate(key);
        }
        match &error {
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => Self::Unavailable(error.to_string()),
            DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => of_sqlx(inner),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        of_sqlx(&error)
    }
}

fn of_sqlx(error: &sqlx::Error) -> Error {
    let text = error.to_string();
    match error {
        sqlx::Error::Database(database) => {
            if let Some(mysql) = database.try_downcast_ref::<MySqlDatabaseError>() {
                return of_mysql_number(mysql.number(), text);
            }
            // SQLite: the primary code is the low byte of the extended one (5 busy, 6 locked, 10 input/output, 13 full).
            let code = database.code().and_then(|c| c.parse::<i32>().ok());
            match code.map(|c| c & 0xff) {
                Some(5 | 6) => Error::Conflict(text),
                Some(13) => Error::Full(text),
                _ => Error::Other(text),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unavailable(text),
        // A connection cut in the middle of a packet.
        sqlx::Error::Protocol(_) => Error::Unavailable(text),
        _ => Error::Other(text),
    }
}

/// MySQL's and MariaDB's error numbers.
fn of_mysql_number(number: u16, text: String) -> Error {
    match number {
        // Record has changed since last read; lock wait timeout; deadlock.
        1020 | 1205 | 1213 => Error::Conflict(text),
        // Disk full; table (its tablespace) full.
        1021 | 1114 => Error::Full(text),
        // Too many connections; shutdown; server gone; host blocked; killed.
        1040 | 1053 | 1077 | 1079 | 1129 | 1152..=1161 | 1317 | 1927 | 3169 => {
            Error::Unavailable(text)
        }
        _ => Error::Other(text),
    }
}
