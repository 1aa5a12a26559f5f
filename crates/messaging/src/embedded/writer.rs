//! The file's one writer: its transactions take turns, and several of them may share a flush. One that nobody waits for hands the open
//! transaction on to the next in line instead of committing, as a savepoint on which that one builds; all of them end
//! with the COMMIT of the last, and none is told that it is done before. All transactions that write the file in this process go through it;
//! single statements wait for its connection.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sea_orm::{
    ConnAcquireErr, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, oneshot};
use tokio::time::timeout;

/// Cheap to clone; all clones take the same turns.
#[derive(Clone, Debug)]
pub struct Writer {
    connection: DatabaseConnection,
    line: Arc<Line>,
}

/// When a transaction that is through with its work is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Somebody waits for the answer.
    Now,
    /// With the next in line, where there is one.
    Shared,
}

/// Why there was no commit, as far as can be told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// What the database said to the COMMIT.
    #[error("{0}")]
    Refused(DbErr),
    /// Nothing is stored, and it may be tried again as a whole.
    #[error("undone with another transaction that shared its flush")]
    Spoilt,
    #[error("nobody can tell whether it was committed")]
    Unknown,
}

#[derive(Debug)]
struct Line {
    open: Arc<Mutex<Option<Group>>>,
    waiting: AtomicUsize,
    /// A permit for each turn that has been taken.
    taken: Semaphore,
    shared_max: usize,
    wait_max: Duration,
}

impl Line {
    fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }
}

/// Transactions that are through with their work and not committed yet, and the one they are parts of.
#[derive(Debug)]
struct Group {
    outer: DatabaseTransaction,
    members: Vec<oneshot::Sender<Result<(), Failure>>>,
}

impl Group {
    async fn commit(self) -> Result<(), Failure> {
        let done = self.outer.commit().await.map_err(Failure::Refused);
        tell(self.members, &done);
        done
    }

    async fn spoil(self) {
        if let Err(error) = self.outer.rollback().await {
            tracing::debug!(%error, "rollback failed");
        }
        tell(self.members, &Err(Failure::Spoilt));
    }
}

fn tell(members: Vec<oneshot::Sender<Result<(), Failure>>>, done: &Result<(), Failure>) {
    for member in members {
        let _ = member.send(done.clone());
    }
}

impl Writer {
    /// `connection`: a pool of one. At most `shared_max` transactions share a flush; none waits longer for its turn than `wait_max`.
    #[must_use]
    pub fn new(connection: DatabaseConnection, shared_max: usize, wait_max: Duration) -> Self {
        let line = Line {
            open: Arc::new(Mutex::new(None)),
            waiting: AtomicUsize::new(0),
            taken: Semaphore::new(0),
            shared_max: shared_max.max(1),
            wait_max,
        };
        Self {
            connection,
            line: Arc::new(line),
        }
    }

    /// For single statements, which are transactions of their own.
    #[must_use]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Until so many turns have begun, or more, since the last such answer; all but the last of them have ended.
    pub async fn turns_taken(&self, turns: u32) {
        if let Ok(taken) = self.line.taken.acquire_many(turns).await {
            taken.forget();
            // Who was long about it is told of all of them at once.
            self.line.taken.forget_permits(usize::MAX);
        }
    }

    /// Waits for its turn. The transaction holds the file's write lock from its first moment.
    ///
    /// # Errors
    /// What the database says to BEGIN; `DbErr::ConnectionAcquire` when the turn did not come in time.
    pub async fn begin(&self) -> Result<Turn, DbErr> {
        let mut before = self.turn().await?;
        let tx = match &*before.open {
            Some(group) => group.outer.begin().await,
            None => self.begin_alone().await,
        };
        match tx {
            Ok(tx) => Ok(Turn { tx, before }),
            Err(error) => {
                before.spoil().await;
                Err(error)
            }
        }
    }

    async fn turn(&self) -> Result<Before, DbErr> {
        let mut place = Place::new(&self.line);
        let open = Arc::clone(&self.line.open).lock_owned();
        let open = timeout(self.line.wait_max, open).await;
        let open = open.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        place.taken();
        Ok(Before {
            open,
            handed_on: false,
            line: Arc::clone(&self.line),
        })
    }

    async fn begin_alone(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.connection.begin_with_options(options).await
    }
}

/// A place in the line. Whoever leaves it without having had a turn may be the one for whom a group was left open.
struct Place<'a> {
    line: &'a Arc<Line>,
    had_turn: bool,
}

impl<'a> Place<'a> {
    fn new(line: &'a Arc<Line>) -> Self {
        line.waiting.fetch_add(1, Ordering::SeqCst);
        Self {
            line,
            had_turn: false,
        }
    }

    fn taken(&mut self) {
        self.had_turn = true;
        self.line.waiting.fetch_sub(1, Ordering::SeqCst);
        self.line.taken.add_permits(1);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.had_turn {
            return;
        }
        self.line.waiting.fetch_sub(1, Ordering::SeqCst);
        let open = Arc::clone(&self.line.open);
        in_background(async move {
            let left = open.lock().await.take();
            if let Some(group) = left {
                // Its members are told; there is nobody else.
                let _ = group.commit().await;
            }
        });
    }
}

/// Without a runtime the process ends, and what is open is undone with it.
fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(work);
    }
}

/// A transaction whose turn it is. Dropped, it is rolled back, and those before it are committed without it.
#[derive(Debug)]
pub struct Turn {
    // Dropped first: what it has done is undone before the others are committed.
    tx: DatabaseTransaction,
    before: Before,
}

impl Turn {
    /// Answers once it is on the disk.
    ///
    /// # Errors
    /// `Failure`.
    pub async fn commit(self, flush: Flush) -> Result<(), Failure> {
        let Self { tx, mut before } = self;
        let mut group = match before.open.take() {
            // A savepoint of the transaction that those before it left open.
            Some(group) => match tx.commit().await {
                Ok(()) => group,
                Err(error) => {
                    group.spoil().await;
                    return Err(Failure::Refused(error));
                }
            },
            None => Group {
                outer: tx,
                members: Vec::new(),
            },
        };
        let shared = flush == Flush::Shared && group.members.len() + 1 < before.line.shared_max;
        if !shared || !before.line.is_awaited() {
            return group.commit().await;
        }
        let (told, done) = oneshot::channel();
        group.members.push(told);
        before.hand_on(group);
        done.await.unwrap_or(Err(Failure::Unknown))
    }

    /// Undoes it. Those before it are committed without it.
    pub async fn rollback(self) {
        let Self { tx, mut before } = self;
        if let Err(error) = tx.rollback().await {
            tracing::debug!(%error, "rollback failed");
            // The engine has undone more than this one already, as it does on a full disk.
            before.spoil().await;
        }
    }
}

impl Deref for Turn {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.tx
    }
}

/// The turn itself, and those that had it before and share the flush, if any. Dropped, it commits them.
#[derive(Debug)]
struct Before {
    open: OwnedMutexGuard<Option<Group>>,
    handed_on: bool,
    line: Arc<Line>,
}

impl Before {
    async fn spoil(&mut self) {
        if let Some(group) = self.open.take() {
            group.spoil().await;
        }
    }

    /// To the next in line.
    fn hand_on(mut self, group: Group) {
        self.open.replace(group);
        self.handed_on = true;
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        if self.handed_on {
            return;
        }
        if let Some(group) = self.open.take() {
            in_background(async move {
                let _ = group.commit().await;
            });
        }
    }
}
