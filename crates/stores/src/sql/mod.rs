//! One SQL database behind the shop: how to connect, run a transaction that is retried as a whole, and tell errors apart.
//! Each feature's store is a file beside this one; `dialect` owns every difference between the engines.
//! The binary connects once a process.

pub mod analytics;
pub mod catalogue;
mod checkpoints;
pub mod coupons;
pub mod dialect;
pub mod error;
pub mod idempotency;
pub mod ids;
mod nodelay;
pub mod notes;
pub mod orders;
pub mod outbox;
mod pooled;
pub mod ranking;
mod reads;
pub mod receipts;
mod transaction;
pub mod wallet;
pub mod wallet_seed;
pub(crate) mod writes;

use std::sync::Arc;
use std::time::Duration;

use messaging::embedded::Writer;
use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Executor};
use sea_orm::{DatabaseConnection, SqlxMySqlConnector, SqlxSqliteConnector, Statement, Value};
use tokio_util::task::AbortOnDropHandle;

pub use dialect::Dialect;
pub use error::Error;
pub use transaction::{AsSqlError, Borrows, Transaction, follow_up, within};

/// A connection that has lain idle for less is used without asking first whether the server is still there.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// How to reach and use the database.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `sqlite://path` or `mysql://user:password@host:port/database`.
    pub url: String,
    /// Connections for reads and single commands.
    pub connections_max: u32,
    /// Connections of the batch writer's own pool (MySQL and MariaDB; SQLite has one writer).
    pub writer_connections_max: u32,
    pub acquire_timeout_ms: u64,
    /// Prepared statements kept a connection.
    pub statement_cache: usize,
    /// How often a transaction that met a deadlock or lock timeout is tried in all.
    pub attempts_max: u32,
    /// SQLite: how long a statement waits for another process's write.
    pub busy_timeout_ms: u64,
    /// SQLite: page cache a connection, in KiB.
    pub cache_kib: u32,
    /// SQLite: transactions that may share a flush.
    pub shared_flush_max: usize,
    /// SQLite: after so many transactions what the write-ahead log holds is moved into the file beside them; 0: only by them.
    pub checkpoint_transactions: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "sqlite://madang-data/madang.db".into(),
            connections_max: 8,
            writer_connections_max: 16,
            acquire_timeout_ms: 5_000,
            statement_cache: 2_048,
            attempts_max: 8,
            busy_timeout_ms: 10_000,
            cache_kib: 16_384,
            shared_flush_max: 16,
            checkpoint_transactions: 24,
        }
    }
}

/// The pools of one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    dialect: Dialect,
    writer: Writing,
    reader: DatabaseConnection,
    attempts_max: u32,
    /// SQLite's, if any; it ends with the last clone.
    _checkpoints: Option<Arc<AbortOnDropHandle<()>>>,
}

/// Who writes: all of the process in turn to SQLite's file, or each on a connection of its own.
#[derive(Clone, Debug)]
enum Writing {
    File(Writer),
    Pool(DatabaseConnection),
}

impl Database {
    /// Opens the pools. SQLite's file and folder are created when missing; a MySQL server is not waited for:
    /// the pool connects at first use, so start order does not matter.
    ///
    /// # Errors
    /// `Error::Setting` for a URL that is neither, `Error::Unavailable` when SQLite's file cannot be opened.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let acquire = Duration::from_millis(settings.acquire_timeout_ms);
        let mut checkpoints = None;
        let (dialect, writer, reader) = if settings.url.starts_with("sqlite:") {
            let file = open_sqlite(settings, acquire).await?;
            let writer = Writer::new(file.writer, settings.shared_flush_max, acquire);
            let turns = settings.checkpoint_transactions;
            checkpoints =
                (turns > 0).then(|| checkpoints::start(writer.clone(), file.checkpoints, turns));
            (Dialect::Sqlite, Writing::File(writer), file.reader)
        } else if settings.url.starts_with("mysql:") || settings.url.starts_with("mariadb:") {
            let (writer, reader) = open_mysql(settings, acquire)?;
            (Dialect::MySql, Writing::Pool(writer), reader)
        } else {
            return Err(Error::Setting(
                "database.url must begin with sqlite:// or mysql://".into(),
            ));
        };
        Ok(Self {
            dialect,
            writer,
            reader,
            attempts_max: settings.attempts_max.max(1),
            _checkpoints: checkpoints,
        })
    }

    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// SQLite: whom all that write the file in this process share.
    #[must_use]
    pub fn file_writer(&self) -> Option<&Writer> {
        match &self.writer {
            Writing::File(writer) => Some(writer),
            Writing::Pool(_) => None,
        }
    }

    /// For single statements: SQLite's one writing connection, or the writer pool.
    #[must_use]
    pub fn writer(&self) -> &DatabaseConnection {
        match &self.writer {
            Writing::File(writer) => writer.connection(),
            Writing::Pool(pool) => pool,
        }
    }

    /// For reads that need no transaction.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    #[must_use]
    pub fn statement(&self, sql: impl Into<String>, values: Vec<Value>) -> Statement {
        self.dialect.statement(sql, values)
    }

    /// Brings the schema up to date. Safe to repeat, and on MySQL and MariaDB to run from several processes at once.
    ///
    /// # Errors
    /// `Error::Unavailable` when the database cannot be reached.
    pub async fn migrate(&self) -> Result<(), Error> {
        crate::migrations::up(self.dialect, self.writer(), &self.reader).await
    }

    /// Answers once the database does.
    ///
    /// # Errors
    /// `Error::Unavailable` otherwise.
    pub async fn ping(&self) -> Result<(), Error> {
        self.reader.ping().await.map_err(Error::from)
    }
}

/// Pools of connections to SQLite's file.
struct File {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    checkpoints: DatabaseConnection,
}

async fn open_sqlite(settings: &Settings, acquire: Duration) -> Result<File, Error> {
    let options: SqliteConnectOptions = settings
        .url
        .parse()
        .map_err(|e| Error::Setting(format!("database.url: {e}")))?;
    if let Some(folder) = options.get_filename().parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| Error::Unavailable(format!("{}: {e}", folder.display())))?;
    }
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::None)
        .busy_timeout(Duration::from_millis(settings.busy_timeout_ms))
        .pragma("cache_size", format!("-{}", settings.cache_kib))
        .pragma("wal_autocheckpoint", "10000")
        .pragma("temp_store", "memory")
        .statement_cache_capacity(settings.statement_cache)
        .disable_statement_logging();
    let pool = |connections| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(acquire)
            .idle_timeout(None)
            .max_lifetime(None)
            // A file does not hang up.
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(async { Ok(is_clean(connection)) }))
    };
    // One connection: writers of this process queue in turn here instead of spinning on SQLite's lock.
    let writer = pool(1).min_connections(1);
    let writer = writer.connect_with(options.clone()).await?;
    let reader = pool(settings.connections_max).min_connections(1);
    let reader = reader.connect_with(options.clone()).await?;
    let checkpoints = pool(1).connect_lazy_with(options);
    Ok(File {
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        checkpoints: SqlxSqliteConnector::from_sqlx_sqlite_pool(checkpoints),
    })
}

/// Whether no transaction was left on a connection that is about to be used again; one that is not clean is closed, which
/// undoes what lies on it. A COMMIT or ROLLBACK that the server itself refused, as SQLite does on a full disk, leaves one: the
/// next transaction would be a savepoint in it, and what is "committed" there is seen by nobody and lost.
fn is_clean(connection: &impl Connection) -> bool {
    let left = connection.is_in_transaction();
    if left {
        tracing::warn!("a transaction was left on a connection: it is closed");
    }
    !left
}

fn open_mysql(
    settings: &Settings,
    acquire: Duration,
) -> Result<(DatabaseConnection, DatabaseConnection), Error> {
    let url = settings.url.replacen("mariadb:", "mysql:", 1);
    let options: MySqlConnectOptions = url
        .parse()
        .map_err(|e| Error::Setting(format!("database.url: {e}")))?;
    let options = options
        .statement_cache_capacity(settings.statement_cache)
        .disable_statement_logging();
    let port = options.get_port();
    let pool = |connections| {
        MySqlPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(acquire)
            // The pool asks each connection as it comes back. One that has lain idle since may have died.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if !is_clean(connection) {
                        return Ok(false);
                    }
                    if meta.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    nodelay::set_on_connections_to(port);
                    // Plain reads of REPEATABLE READ lose updates; rows that matter are locked by name.
                    connection
                        .execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                        .await?;
                    connection
                        .execute("SET SESSION innodb_lock_wait_timeout = 10")
                        .await?;
                    Ok(())
                })
            })
    };
    let writer = pool(settings.writer_connections_max).connect_lazy_with(options.clone());
    let reader = pool(settings.connections_max).connect_lazy_with(options);
    Ok((
        SqlxMySqlConnector::from_sqlx_mysql_pool(writer),
        SqlxMySqlConnector::from_sqlx_mysql_pool(reader),
    ))
}
