//! The embedded file's one writer: turns, and transactions that share a flush.

use std::path::Path;
use std::time::Duration;

use messaging::embedded::{Failure, Flush, Turn, Writer};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use testkit::eventually;
use tokio::task::JoinHandle;

use crate::bed::{DEADLINE, pool};

struct Bed {
    writer: Writer,
    reader: DatabaseConnection,
    _folder: tempfile::TempDir,
}

impl Bed {
    async fn new(shared_max: usize) -> Self {
        Self::with(shared_max, DEADLINE).await
    }

    async fn with(shared_max: usize, wait_max: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file: &Path = &folder.path().join("shop.db");
        let writer = Writer::new(pool(file, 1).await, shared_max, wait_max);
        let table = "CREATE TABLE notes (n INTEGER PRIMARY KEY)";
        let created = writer.connection().execute_unprepared(table).await;
        created.expect("the table");
        Self {
            writer,
            reader: pool(file, 1).await,
            _folder: folder,
        }
    }

    /// A transaction that has noted `n`.
    async fn noted(&self, n: i64) -> Turn {
        let turn = self.writer.begin().await.expect("a turn");
        note(&turn, n).await;
        turn
    }

    /// Stands in line and notes `n` when its turn comes.
    fn queue(&self, n: i64, flush: Flush) -> JoinHandle<Result<(), Failure>> {
        let writer = self.writer.clone();
        tokio::spawn(async move {
            let turn = writer.begin().await.expect("a turn");
            note(&turn, n).await;
            turn.commit(flush).await
        })
    }

    /// What others see.
    async fn stored(&self) -> Vec<i64> {
        let sql = "SELECT n FROM notes ORDER BY n";
        let rows = self.reader.query_all_raw(statement(sql)).await;
        let rows = rows.expect("the notes").into_iter();
        rows.map(|row| row.try_get_by_index(0).expect("a number"))
            .collect()
    }
}

async fn note(turn: &Turn, n: i64) {
    let sql = format!("INSERT INTO notes (n) VALUES ({n})");
    turn.execute_unprepared(&sql).await.expect("noted");
}

fn statement(sql: &str) -> sea_orm::Statement {
    sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, sql)
}

/// Lets those who were spawned come as far as they can without a turn.
async fn all_in_line() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_follow_up_is_stored_with_the_next_in_line_and_not_told_before() {
    let bed = Bed::new(16).await;
    let first = bed.noted(1).await;
    let second = bed.queue(2, Flush::Shared);
    all_in_line().await;
    // Its turn is handed on to the second; behind that one nobody waits.
    let stored = first.commit(Flush::Shared).await;
    stored.expect("stored");
    assert_eq!(bed.stored().await, [1, 2]);
    second.await.expect("no panic").expect("stored");
}

#[tokio::test]
async fn nothing_of_a_shared_flush_is_seen_before_its_last_has_committed() {
    let bed = Bed::new(16).await;
    let first = bed.noted(1).await;
    let (writer, (ask, asked)) = (bed.writer.clone(), tokio::sync::oneshot::channel());
    let last = tokio::spawn(async move {
        let turn = writer.begin().await.expect("a turn");
        note(&turn, 2).await;
        let () = asked.await.expect("asked");
        turn.commit(Flush::Now).await
    });
    all_in_line().await;
    let first = tokio::spawn(first.commit(Flush::Shared));
    all_in_line().await;
    assert!(!first.is_finished(), "told before it was stored");
    assert_eq!(bed.stored().await, [0_i64; 0]);
    ask.send(()).expect("somebody waits");
    first.await.expect("no panic").expect("stored");
    last.await.expect("no panic").expect("stored");
    assert_eq!(bed.stored().await, [1, 2]);
}

#[tokio::test]
async fn who_is_waited_for_waits_for_nobody_and_no_more_share_than_may() {
    for (flush, shared_max) in [(Flush::Now, 16), (Flush::Shared, 1)] {
        let bed = Bed::new(shared_max).await;
        let first = bed.noted(1).await;
        let (writer, (ask, asked)) = (bed.writer.clone(), tokio::sync::oneshot::channel::<()>());
        let second = tokio::spawn(async move {
            let turn = writer.begin().await.expect("a turn");
            note(&turn, 2).await;
            let _ = asked.await;
            turn.rollback().await;
        });
        all_in_line().await;
        first.commit(flush).await.expect("stored");
        assert_eq!(bed.stored().await, [1]);
        drop(ask);
        second.await.expect("no panic");
        assert_eq!(bed.stored().await, [1]);
    }
}

#[tokio::test]
async fn one_that_is_undone_takes_none_of_those_before_it_along() {
    let bed = Bed::new(16).await;
    for (n, dropped) in [(1, false), (3, true)] {
        let first = bed.noted(n).await;
        let writer = bed.writer.clone();
        let undone = tokio::spawn(async move {
            let turn = writer.begin().await.expect("a turn");
            note(&turn, n + 1).await;
            if !dropped {
                turn.rollback().await;
            }
        });
        all_in_line().await;
        first.commit(Flush::Shared).await.expect("stored");
        undone.await.expect("no panic");
    }
    assert_eq!(bed.stored().await, [1, 3]);
    bed.noted(5).await.commit(Flush::Now).await.expect("stored");
    assert_eq!(bed.stored().await, [1, 3, 5]);
}

#[tokio::test]
async fn whoever_leaves_the_line_leaves_nothing_open() {
    let bed = Bed::new(16).await;
    for n in 0..20 {
        let first = bed.noted(n).await;
        let leaver = bed.queue(-1, Flush::Now);
        all_in_line().await;
        let first = tokio::spawn(first.commit(Flush::Shared));
        leaver.abort();
        let told = tokio::time::timeout(DEADLINE, first).await;
        let told = told.expect("told").expect("no panic");
        told.expect("stored");
        let _ = leaver.await;
    }
    let stored = bed.stored().await;
    assert!(stored.ends_with(&(0..20).collect::<Vec<_>>()), "{stored:?}");
}

#[tokio::test]
async fn whoever_goes_at_any_moment_leaves_those_before_it_stored_and_the_line_free() {
    let bed = Bed::new(16).await;
    for n in 0..60 {
        let first = bed.noted(n).await;
        let goes = bed.queue(1_000, Flush::Now);
        all_in_line().await;
        let first = tokio::spawn(first.commit(Flush::Shared));
        // Anywhere from its wait for the turn to the end of its rollback.
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        goes.abort();
        let _ = goes.await;
        let told = tokio::time::timeout(DEADLINE, first).await;
        match told.expect("told").expect("no panic") {
            // It went while it committed for both.
            Err(Failure::Unknown) => {}
            told => told.expect("stored"),
        }
        let again = bed.writer.begin().await.expect("a turn");
        let forget = "DELETE FROM notes WHERE n = 1000";
        again.execute_unprepared(forget).await.expect("deleted");
        again.commit(Flush::Now).await.expect("stored");
    }
}

#[tokio::test]
async fn a_turn_that_does_not_come_in_time_is_an_error_that_may_pass() {
    let bed = Bed::with(16, Duration::from_millis(1)).await;
    let first = bed.noted(1).await;
    let late = bed.writer.begin().await;
    let late = late.expect_err("nobody has two turns at once");
    assert!(matches!(late, DbErr::ConnectionAcquire(_)), "{late}");
    first.commit(Flush::Shared).await.expect("stored");
    bed.noted(2).await.commit(Flush::Now).await.expect("stored");
    assert_eq!(bed.stored().await, [1, 2]);
}

#[tokio::test]
async fn when_the_engine_undoes_all_every_one_of_them_is_told() {
    let bed = Bed::new(16).await;
    let first = bed.noted(1).await;
    let writer = bed.writer.clone();
    let spoiler = tokio::spawn(async move {
        let turn = writer.begin().await.expect("a turn");
        // As SQLite itself does when the disk is full.
        let undone = turn.execute_unprepared("ROLLBACK").await;
        undone.expect("undone");
        turn.commit(Flush::Now).await
    });
    all_in_line().await;
    let first = first.commit(Flush::Shared).await;
    assert!(matches!(first, Err(Failure::Spoilt)), "{first:?}");
    let spoiler = spoiler.await.expect("no panic");
    assert!(matches!(spoiler, Err(Failure::Refused(_))), "{spoiler:?}");
    assert_eq!(bed.stored().await, [0_i64; 0]);
    // The connection on which it happened is not used again.
    eventually(DEADLINE, "a turn after that", async || {
        let turn = bed.writer.begin().await?;
        note(&turn, 2).await;
        turn.commit(Flush::Now).await?;
        Ok(())
    })
    .await;
    assert_eq!(bed.stored().await, [2]);
}

#[tokio::test]
async fn turns_are_counted_whatever_becomes_of_them_and_each_once() {
    let bed = Bed::new(16).await;
    let counted = |turns| {
        let writer = bed.writer.clone();
        tokio::spawn(async move { writer.turns_taken(turns).await })
    };
    bed.noted(1).await.commit(Flush::Now).await.expect("stored");
    let three = counted(3);
    bed.noted(2).await.rollback().await;
    all_in_line().await;
    assert!(!three.is_finished(), "two of three");
    drop(bed.noted(3).await);
    three.await.expect("no panic");
    let next = counted(1);
    all_in_line().await;
    assert!(!next.is_finished(), "they had been counted already");
    bed.noted(4).await.commit(Flush::Now).await.expect("stored");
    next.await.expect("no panic");
    for n in [5, 6, 7] {
        bed.noted(n).await.commit(Flush::Now).await.expect("stored");
    }
    counted(2).await.expect("no panic");
    let next = counted(1);
    all_in_line().await;
    assert!(!next.is_finished(), "one more than was asked for is over");
    next.abort();
}
