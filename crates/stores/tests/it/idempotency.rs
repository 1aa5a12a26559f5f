//! The keyed wrapper: one effect a key, whoever repeats it and from wherever.
//! The effect here counts in `id_blocks`, a table that is always there.

use bytes::Bytes;
use commerce::answer::{Answer, Answered, Claim, Keyed, StoreError};
use sea_orm::ConnectionTrait;
use stores::sql::idempotency::{keyed, prune_idempotency};
use stores::sql::{Database, Error};

use crate::backends::{Backend, claim, on_both};

on_both!(
    a_repeat_is_answered_from_the_record,
    a_refusal_is_a_record_too,
    an_error_leaves_nothing,
    one_effect_a_key_from_many_processes,
    old_records_are_pruned,
);

/// Adds `by` to a counter and answers with its value; 0 is refused, below 0 is a defect.
async fn count(db: &Database, by: i64, claim: Option<&Claim>) -> Result<Answered, StoreError> {
    let command = Keyed {
        command: by,
        claim,
        render: &|outcome: &Result<i64, &str>| Answer {
            status: if outcome.is_ok() { 200 } else { 409 },
            location: outcome.ok().map(|n| format!("/counts/{n}")),
            body: Bytes::from(format!("{outcome:?}")),
        },
    };
    keyed(db, "test", command, |tx, by, _| {
        Box::pin(async move {
            if *by == 0 {
                return Ok(Err("nothing to add"));
            }
            let add = format!(
                "INSERT INTO id_blocks (name, next_value) VALUES ('counter', ?) {} next_value = id_blocks.next_value + ?",
                db.dialect().on_conflict("name")
            );
            tx.execute_raw(db.statement(add, vec![(*by).into(), (*by).into()]))
                .await?;
            if *by < 0 {
                return Err(Error::Other("a defect".into()));
            }
            let row = tx
                .query_one_raw(db.statement(READ, vec![]))
                .await?
                .ok_or_else(|| Error::guard("counter"))?;
            Ok(Ok(row.try_get_by::<i64, _>(0)?))
        })
    })
    .await
}

const READ: &str = "SELECT next_value FROM id_blocks WHERE name = 'counter'";

async fn counted(db: &Database) -> i64 {
    let row = db.reader().query_one_raw(db.statement(READ, vec![])).await;
    row.unwrap().map_or(0, |r| r.try_get_by(0).unwrap())
}

async fn a_repeat_is_answered_from_the_record(backend: &Backend) {
    let db = backend.connect().await;
    let first = count(&db, 5, Some(&claim(1, 1))).await.unwrap();
    let Answered::Fresh(answer) = first else {
        panic!("{first:?}");
    };
    assert_eq!(answer.location.as_deref(), Some("/counts/5"));
    let other_process = backend.connect().await;
    let again = count(&other_process, 5, Some(&claim(1, 1))).await.unwrap();
    assert_eq!(again, Answered::Replayed(answer));
    let other_bytes = count(&db, 6, Some(&claim(1, 2))).await.unwrap();
    assert_eq!(other_bytes, Answered::Mismatch);
    assert_eq!(counted(&db).await, 5);
    // Without a key every call counts.
    count(&db, 2, None).await.unwrap();
    count(&db, 2, None).await.unwrap();
    assert_eq!(counted(&db).await, 9);
}

async fn a_refusal_is_a_record_too(backend: &Backend) {
    let db = backend.connect().await;
    let Answered::Fresh(answer) = count(&db, 0, Some(&claim(1, 1))).await.unwrap() else {
        panic!("not fresh");
    };
    assert_eq!(answer.status, 409);
    let again = count(&db, 0, Some(&claim(1, 1))).await.unwrap();
    assert_eq!(again, Answered::Replayed(answer));
}

async fn an_error_leaves_nothing(backend: &Backend) {
    let db = backend.connect().await;
    let failed = count(&db, -3, Some(&claim(1, 1))).await;
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    assert_eq!(counted(&db).await, 0);
    let then = count(&db, 4, Some(&claim(1, 2))).await.unwrap();
    assert!(matches!(then, Answered::Fresh(_)), "{then:?}");
}

async fn one_effect_a_key_from_many_processes(backend: &Backend) {
    let mut calls = tokio::task::JoinSet::new();
    let databases = [backend.connect().await, backend.connect().await];
    for call in 0..40_u8 {
        let db = databases[usize::from(call % 2)].clone();
        calls.spawn(async move { count(&db, 1, Some(&claim(call / 4, 1))).await.unwrap() });
    }
    let answers = calls.join_all().await;
    let fresh = answers.iter().filter(|a| matches!(a, Answered::Fresh(_)));
    assert_eq!(fresh.count(), 10);
    assert_eq!(counted(&databases[0]).await, 10);
}

async fn old_records_are_pruned(backend: &Backend) {
    let db = backend.connect().await;
    for key in 0..5 {
        count(&db, 1, Some(&claim(key, 1))).await.unwrap();
    }
    let hour_us = 3_600_000_000;
    assert_eq!(prune_idempotency(&db, hour_us, 100).await.unwrap(), 0);
    // A minute past now: everything is older.
    assert_eq!(prune_idempotency(&db, -60_000_000, 3).await.unwrap(), 3);
    assert_eq!(prune_idempotency(&db, -60_000_000, 3).await.unwrap(), 2);
    let again = count(&db, 1, Some(&claim(0, 1))).await.unwrap();
    assert!(matches!(again, Answered::Fresh(_)));
}
