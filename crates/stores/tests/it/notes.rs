//! What a consumer has counted is new once, whoever delivers it and however the batches fall.

use messaging::envelope::Identity;
use stores::sql::notes::{BLOCK, mark, prune_foreign, seen};
use stores::sql::{Database, Error, within};

use crate::backends::{Backend, on_both};

on_both!(
    an_event_is_new_once,
    many_deliveries_count_each_event_once,
    foreign_ids_are_told_apart_byte_by_byte,
    a_rollback_takes_the_notes_with_it,
    old_foreign_notes_are_pruned,
);

const AT_US: i64 = 1_700_000_000_000_000;

async fn marked(db: &Database, consumer: &str, identities: &[Identity]) -> Vec<bool> {
    let dialect = db.dialect();
    within::<_, Error, _>(db, "test", |tx, _| {
        Box::pin(mark(tx, dialect, consumer, identities, AT_US))
    })
    .await
    .unwrap()
}

async fn noted(db: &Database, consumer: &str, identities: &[Identity]) -> Vec<bool> {
    seen(db.reader(), db.dialect(), consumer, identities)
        .await
        .unwrap()
}

fn ours(numbers: impl IntoIterator<Item = i64>) -> Vec<Identity> {
    numbers.into_iter().map(Identity::Seq).collect()
}

fn theirs(id: &str) -> Identity {
    Identity::Foreign(id.to_owned())
}

async fn an_event_is_new_once(backend: &Backend) {
    let db = backend.connect().await;
    let mut batch = ours([7, 8, 7, BLOCK - 1, BLOCK, 9_000_000_000_000_000]);
    batch.extend([theirs("a"), theirs("b"), theirs("a")]);
    let first = vec![true, true, false, true, true, true, true, true, false];
    assert_eq!(noted(&db, "sales", &batch).await, vec![false; 9]);
    assert_eq!(marked(&db, "sales", &batch).await, first);
    assert_eq!(marked(&db, "sales", &batch).await, vec![false; 9]);
    assert_eq!(noted(&db, "sales", &batch).await, vec![true; 9]);
    // Neighbours are untouched, and another consumer has notes of its own.
    let others = [ours([6, 9, BLOCK + 1]), vec![theirs("c")]].concat();
    assert_eq!(noted(&db, "sales", &others).await, vec![false; 4]);
    assert_eq!(marked(&db, "boards", &batch).await, first);
}

async fn many_deliveries_count_each_event_once(backend: &Backend) {
    let mut deliveries = Vec::new();
    for member in 0..6 {
        let db = backend.connect().await;
        deliveries.push(tokio::spawn(async move {
            let mut new = 0;
            for round in 0..8_i64 {
                // Three members deliver each batch, cut at other places, over a border between blocks.
                let start = BLOCK - 400 + round * 100 + member % 2 * 50;
                let mut batch = ours(start..start + 100);
                batch.extend((0..20).map(|n| theirs(&format!("e{}", round * 20 + n))));
                let fresh = marked(&db, "sales", &batch).await;
                new += fresh.iter().filter(|new| **new).count();
            }
            new
        }));
    }
    let mut new = 0;
    for delivery in deliveries {
        new += delivery.await.unwrap();
    }
    // Numbers from BLOCK - 400 to BLOCK + 450, and 160 foreign ids.
    assert_eq!(new, 850 + 160);
}

async fn foreign_ids_are_told_apart_byte_by_byte(backend: &Backend) {
    let db = backend.connect().await;
    let batch = ["a", "A", "a ", "\u{e1}", "a\u{301}", "", " "].map(theirs);
    assert_eq!(marked(&db, "sales", &batch).await, vec![true; 7]);
    assert_eq!(marked(&db, "sales", &batch).await, vec![false; 7]);
    let long = [theirs(&"x".repeat(300))];
    assert_eq!(marked(&db, "sales", &long).await, vec![true]);
}

async fn a_rollback_takes_the_notes_with_it(backend: &Backend) {
    let db = backend.connect().await;
    let batch = [ours([1, 2]), vec![theirs("a")]].concat();
    let (dialect, asked) = (db.dialect(), &batch);
    let failed = within(&db, "test", |tx, _| {
        Box::pin(async move {
            mark(tx, dialect, "sales", asked, AT_US).await?;
            Err::<(), _>(Error::Other("the effect failed".into()))
        })
    })
    .await;
    assert!(failed.is_err());
    assert_eq!(noted(&db, "sales", &batch).await, vec![false; 3]);
}

async fn old_foreign_notes_are_pruned(backend: &Backend) {
    let db = backend.connect().await;
    let batch: Vec<Identity> = (0..25).map(|n| theirs(&n.to_string())).collect();
    marked(&db, "sales", &batch).await;
    marked(&db, "boards", &batch).await;
    assert_eq!(prune_foreign(&db, AT_US, 10).await.unwrap(), 0);
    assert_eq!(prune_foreign(&db, AT_US + 1, 10).await.unwrap(), 50);
    assert_eq!(noted(&db, "sales", &batch).await, vec![false; 25]);
}
