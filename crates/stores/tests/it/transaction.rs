//! What every store's writes go through: all of a transaction or nothing, whatever becomes of it or of its connection.
//! The work here counts in `id_blocks`, a table that is always there.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use stores::sql::{Database, Error, Transaction, within};
use tokio::sync::Notify;

use crate::backends::{Backend, on_both};

on_both!(
    what_returns_an_error_leaves_nothing,
    what_is_dropped_leaves_nothing_and_holds_nothing,
    texts_and_statements_are_one_transaction,
    a_question_that_fails_begins_no_other_transaction,
    work_that_asks_nothing_is_no_transaction,
);

const MAKE: &str = "INSERT INTO id_blocks (name, next_value) VALUES ('counter', 1)";
const ADD: &str = "UPDATE id_blocks SET next_value = next_value + 1 WHERE name = 'counter'";
const READ: &str = "SELECT next_value FROM id_blocks WHERE name = 'counter'";
const DEADLINE: Duration = Duration::from_secs(60);

async fn counter(backend: &Backend) -> Database {
    let db = backend.connect().await;
    within(&db, "test", |tx, _| Box::pin(execute(tx, MAKE)))
        .await
        .unwrap();
    db
}

async fn execute(tx: &Transaction, text: &'static str) -> Result<u64, Error> {
    Ok(tx.execute_unprepared(text).await?.rows_affected())
}

async fn add(db: &Database) -> Result<u64, Error> {
    within(db, "test", |tx, _| Box::pin(execute(tx, ADD))).await
}

async fn counted(db: &Database) -> i64 {
    let row = db.reader().query_one_raw(db.statement(READ, vec![])).await;
    row.unwrap().expect("a counter").try_get_by(0).unwrap()
}

async fn what_returns_an_error_leaves_nothing(backend: &Backend) {
    let db = counter(backend).await;
    let failed: Result<(), Error> = within(&db, "test", |tx, _| {
        Box::pin(async move {
            execute(tx, ADD).await?;
            Err(Error::Other("a defect".into()))
        })
    })
    .await;
    assert!(matches!(failed, Err(Error::Other(_))), "{failed:?}");
    assert_eq!(counted(&db).await, 1);
    assert_eq!(add(&db).await.unwrap(), 1);
    assert_eq!(counted(&db).await, 2);
}

async fn what_is_dropped_leaves_nothing_and_holds_nothing(backend: &Backend) {
    let db = counter(backend).await;
    let (written, never) = (Notify::new(), Notify::new());
    let work = within::<(), Error, _>(&db, "test", |tx, _| {
        let (written, never) = (&written, &never);
        Box::pin(async move {
            execute(tx, ADD).await?;
            written.notify_one();
            never.notified().await;
            Ok(())
        })
    });
    tokio::select! {
        done = work => panic!("it ended: {done:?}"),
        () = written.notified() => {}
    }
    // It would wait for the row's lock, or for the file.
    let added = tokio::time::timeout(DEADLINE, add(&db)).await;
    assert_eq!(added.expect("nothing is held").unwrap(), 1);
    assert_eq!(counted(&db).await, 2);
}

async fn texts_and_statements_are_one_transaction(backend: &Backend) {
    let db = counter(backend).await;
    let statement_first: Result<(), Error> = within(&db, "test", |tx, _| {
        let db = &db;
        Box::pin(async move {
            let counted = tx.query_all_raw(db.statement(READ, vec![])).await?;
            assert_eq!(counted.len(), 1);
            assert_eq!(execute(tx, "UPDATE id_blocks SET next_value = 10 WHERE name = 'counter'; UPDATE id_blocks SET next_value = 20 WHERE name = 'counter'").await?, 2);
            let done = tx.execute_raw(db.statement(ADD, vec![])).await?;
            assert_eq!(done.rows_affected(), 1);
            let row = tx.query_one_raw(db.statement(READ, vec![])).await?;
            assert_eq!(row.expect("a counter").try_get_by::<i64, _>(0)?, 21);
            Ok(())
        })
    })
    .await;
    statement_first.unwrap();
    assert_eq!(counted(&db).await, 21);
}

async fn a_question_that_fails_begins_no_other_transaction(backend: &Backend) {
    let db = counter(backend).await;
    let failed: Result<(), Error> = within(&db, "test", |tx, _| {
        let db = &db;
        Box::pin(async move {
            let text =
                "UPDATE id_blocks SET next_value = 9 WHERE name = 'counter'; SELECT * FROM nowhere";
            assert!(execute(tx, text).await.is_err());
            // Its first statement is still to be undone.
            let row = tx.query_one_raw(db.statement(READ, vec![])).await?;
            assert_eq!(row.expect("a counter").try_get_by::<i64, _>(0)?, 9);
            assert_eq!(execute(tx, ADD).await?, 1);
            Err(Error::Other("a defect".into()))
        })
    })
    .await;
    assert!(matches!(failed, Err(Error::Other(_))), "{failed:?}");
    assert_eq!(counted(&db).await, 1);
    assert_eq!(add(&db).await.unwrap(), 1);
}

async fn work_that_asks_nothing_is_no_transaction(backend: &Backend) {
    let db = counter(backend).await;
    let nothing: Result<u8, Error> = within(&db, "test", |_, _| Box::pin(async { Ok(7) })).await;
    assert_eq!(nothing.unwrap(), 7);
    let nothing: Result<u8, Error> = within(&db, "test", |_, _| {
        Box::pin(async { Err(Error::Other("a defect".into())) })
    })
    .await;
    assert!(nothing.is_err());
    assert_eq!(add(&db).await.unwrap(), 1);
}

const WHO: &str = "SELECT CAST(CONNECTION_ID() AS SIGNED)";

async fn who(tx: &Transaction, db: &Database) -> Result<i64, Error> {
    let row = tx.query_one_raw(db.statement(WHO, vec![])).await?;
    Ok(row.expect("a row").try_get_by(0)?)
}

async fn kill(db: &Database, connection: i64) {
    let kill = format!("KILL {connection}");
    db.reader().execute_unprepared(&kill).await.unwrap();
    let gone = || async {
        let rows = format!("SELECT id FROM information_schema.processlist WHERE id = {connection}");
        let rows = db.reader().query_all_raw(db.statement(rows, vec![])).await;
        rows.unwrap().is_empty()
    };
    let until = tokio::time::Instant::now() + DEADLINE;
    while !gone().await {
        assert!(tokio::time::Instant::now() < until, "it is still there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn mysql_a_connection_that_the_server_closed_meanwhile_costs_nothing() {
    let Some(backend) = Backend::mysql().await else {
        return;
    };
    let db = counter(&backend).await;
    for text_first in [true, false] {
        let connection = within(&db, "test", |tx, _| Box::pin(who(tx, &db))).await;
        let connection: i64 = connection.map_err(|e: Error| e.to_string()).unwrap();
        kill(&db, connection).await;
        let next: Result<i64, Error> = within(&db, "test", |tx, _| {
            let db = &db;
            Box::pin(async move {
                if text_first {
                    execute(tx, ADD).await?;
                    return who(tx, db).await;
                }
                let who = who(tx, db).await?;
                execute(tx, ADD).await?;
                Ok(who)
            })
        })
        .await;
        assert_ne!(next.unwrap(), connection, "text first: {text_first}");
    }
    assert_eq!(counted(&db).await, 3);
}

#[tokio::test]
async fn mysql_a_connection_lost_in_the_middle_leaves_nothing_and_is_told() {
    let Some(backend) = Backend::mysql().await else {
        return;
    };
    let db = counter(&backend).await;
    let lost: Result<(), Error> = within(&db, "test", |tx, _| {
        let db = &db;
        Box::pin(async move {
            execute(tx, ADD).await?;
            kill(db, who(tx, db).await?).await;
            execute(tx, ADD).await?;
            Ok(())
        })
    })
    .await;
    assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
    assert_eq!(counted(&db).await, 1);
    assert_eq!(add(&db).await.unwrap(), 1);
}
