//! The contract of the outbox store: what is written comes out again in order, goes by exact id, and only for the lease's holder.
//! The relay's own behaviour is tested beside it, on a store that a test plays.

use std::collections::HashSet;
use std::time::Duration;

use messaging::outbox::{Error, Event, Lease, Packing, Row, Store};
use sea_orm::ConnectionTrait;
use stores::sql::outbox::{Outbox, Waiting, insert_rows};
use stores::sql::{Database, within};
use uuid::Uuid;

use crate::backends::{Backend, on_both};

on_both!(
    rows_come_back_as_they_were,
    a_row_of_one_event_is_as_debezium_reads_it,
    rows_are_read_in_order_and_in_pages,
    exactly_the_named_rows_are_deleted,
    a_lease_has_one_owner_and_a_rising_token,
    a_stale_owner_deletes_nothing,
    a_first_lease_is_given_once,
    an_uncommitted_row_is_neither_seen_nor_waited_for,
    depth_counts_all_shards,
);

pub fn event(shard: i32, key: &str) -> Event {
    Event {
        id: Uuid::now_v7(),
        shard,
        topic: "order-completed-topic".into(),
        key: key.into(),
        kind: "order.completed".into(),
        payload: "{\"name\":\"마당\"}".into(),
        seq: None,
        traceparent: None,
        headers: Vec::new(),
        created_us: 1_700_000_000_000_001,
    }
}

fn row(shard: i32, key: &str) -> Row {
    event(shard, key).into()
}

pub async fn write(db: &Database, rows: &[Row]) {
    let written: Result<(), stores::sql::Error> = within(db, "test", |tx, _| {
        Box::pin(insert_rows(tx, db.dialect(), rows))
    })
    .await;
    written.unwrap();
}

async fn lease(outbox: &Outbox, owner: &str) -> Option<Lease> {
    outbox.lease(0, owner, 60_000).await.unwrap()
}

async fn rows_come_back_as_they_were(backend: &Backend) {
    let db = backend.connect().await;
    let outbox = Outbox::new(db.clone());
    let plain = event(0, "1");
    let full = Event {
        seq: Some(i64::MAX),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        headers: vec![("x".into(), "1".into()), ("x".into(), "둘".into())],
        ..event(0, "키-😀")
    };
    let odd = Event {
        traceparent: Some("x".repeat(5_000)),
        payload: " it's \\ \"no\" JSON\n".into(),
        ..event(0, "")
    };
    let kept = Event {
        traceparent: None,
        ..odd.clone()
    };
    let several = |last: Event| Row {
        id: plain.id,
        shard: 0,
        events: vec![plain.clone(), full.clone(), last],
    };
    let last = event(0, "last");
    let row_of = |event: &Event| Row::from(event.clone());
    write(&db, &[several(odd.clone()), row_of(&last)]).await;
    let both = [several(kept.clone()), row_of(&last)];
    assert_eq!(head(&outbox).await, both);
    let held = lease(&outbox, "a").await.unwrap();
    outbox.delete(&held, &both.map(|row| row.id)).await.unwrap();

    write(&db, &[row_of(&plain), row_of(&full), odd.into()]).await;
    let all = [plain, full, kept].map(Row::from);
    assert_eq!(head(&outbox).await, all);
    // The same by either way of reading.
    let except = HashSet::from([all[0].id]);
    let page = outbox.head(0, None, 10, &except).await.unwrap();
    assert_eq!(page.rows, all[1..]);
}

async fn a_row_of_one_event_is_as_debezium_reads_it(backend: &Backend) {
    let db = backend.connect().await;
    let one_a_row = Packing {
        events_max: 1,
        ..Packing::default()
    };
    let events = vec![event(0, "1"), event(0, "2")];
    write(&db, &one_a_row.rows(events.clone())).await;
    let columns = "SELECT id, aggregatetype, aggregateid, type, payload FROM outbox ORDER BY id";
    let select = db.statement(columns, vec![]);
    let rows = db.reader().query_all_raw(select).await.unwrap();
    assert_eq!(rows.len(), 2);
    for (row, event) in rows.iter().zip(events) {
        let text = |column| row.try_get_by::<String, _>(column).unwrap();
        assert_eq!(text("id"), event.id.to_string());
        assert_eq!(text("aggregatetype"), event.topic);
        assert_eq!(text("aggregateid"), event.key);
        assert_eq!(text("type"), event.kind);
        assert_eq!(text("payload"), event.payload);
    }
}

async fn rows_are_read_in_order_and_in_pages(backend: &Backend) {
    let db = backend.connect().await;
    let outbox = Outbox::new(db.clone());
    let mut rows: Vec<Row> = (0..300).map(|n| row(n % 2, &n.to_string())).collect();
    fastrand::shuffle(&mut rows);
    write(&db, &rows).await;
    rows.sort_by_key(|row| row.id);
    for shard in [0, 1, 2] {
        let of_shard = rows.iter().filter(|row| row.shard == shard);
        let expected: Vec<Uuid> = of_shard.map(|row| row.id).collect();
        assert_eq!(walk(&outbox, shard, &HashSet::new()).await, expected);
        // Pages in which all, some and none is passed over.
        let except = expected
            .iter()
            .enumerate()
            .filter(|(n, _)| *n < 70 || n % 3 == 0);
        let except: HashSet<Uuid> = except.map(|(_, id)| *id).take(100).collect();
        let wanted = expected.iter().filter(|id| !except.contains(id));
        let wanted: Vec<Uuid> = wanted.copied().collect();
        assert_eq!(walk(&outbox, shard, &except).await, wanted);
    }
}

/// From the head to the end of the shard, in pages.
async fn walk(outbox: &Outbox, shard: i32, except: &HashSet<Uuid>) -> Vec<Uuid> {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = outbox.head(shard, after, 64, except).await.unwrap();
        seen.extend(page.rows.iter().map(|row| row.id));
        if page.end {
            return seen;
        }
        assert!(page.last > after);
        after = page.last;
    }
}

/// All rows of shard 0.
async fn head(outbox: &Outbox) -> Vec<Row> {
    let page = outbox.head(0, None, 1_000, &HashSet::new()).await.unwrap();
    assert!(page.end);
    assert_eq!(page.last, page.rows.last().map(|row| row.id));
    page.rows
}

async fn exactly_the_named_rows_are_deleted(backend: &Backend) {
    let db = backend.connect().await;
    let outbox = Outbox::new(db.clone());
    let rows: Vec<Row> = (0..700).map(|n| row(0, &n.to_string())).collect();
    write(&db, &rows).await;
    let held = lease(&outbox, "a").await.unwrap();
    let (gone, kept): (Vec<_>, Vec<_>) = rows.iter().enumerate().partition(|(n, _)| n % 7 != 0);
    let gone: Vec<Uuid> = gone.into_iter().map(|(_, row)| row.id).collect();
    outbox.delete(&held, &gone).await.unwrap();
    outbox.delete(&held, &gone).await.unwrap();
    outbox.delete(&held, &[]).await.unwrap();
    let left: Vec<Uuid> = head(&outbox).await.iter().map(|row| row.id).collect();
    assert_eq!(
        left,
        kept.into_iter().map(|(_, row)| row.id).collect::<Vec<_>>()
    );
}

async fn a_lease_has_one_owner_and_a_rising_token(backend: &Backend) {
    let outbox = Outbox::new(backend.connect().await);
    let first = lease(&outbox, "a").await.unwrap();
    assert_eq!(lease(&outbox, "b").await, None);
    let renewed = lease(&outbox, "a").await.unwrap();
    assert_eq!(renewed.token, first.token);
    assert!(renewed.until_us >= first.until_us);
    outbox.release(&renewed).await.unwrap();
    let second = lease(&outbox, "b").await.unwrap();
    assert!(second.token > first.token);
    // A release that comes too late takes nothing away.
    outbox.release(&first).await.unwrap();
    assert_eq!(lease(&outbox, "a").await, None);
    // A lease that has run out can be taken without a release.
    let short = outbox.lease(1, "a", 0).await.unwrap().unwrap();
    let taken = testkit::eventually(Duration::from_secs(60), "the lease runs out", async || {
        let taken = outbox.lease(1, "b", 60_000).await?;
        taken.ok_or_else(|| anyhow::anyhow!("still held"))
    })
    .await;
    assert!(taken.token > short.token);
}

async fn a_stale_owner_deletes_nothing(backend: &Backend) {
    let db = backend.connect().await;
    let outbox = Outbox::new(db.clone());
    let rows = [row(0, "1")];
    write(&db, &rows).await;
    let stale = lease(&outbox, "a").await.unwrap();
    outbox.release(&stale).await.unwrap();
    let _ = lease(&outbox, "b").await.unwrap();
    let refused = outbox.delete(&stale, &[rows[0].id]).await;
    assert!(
        matches!(refused, Err(Error::Fenced { shard: 0 })),
        "{refused:?}"
    );
    assert_eq!(head(&outbox).await.len(), 1);
}

async fn a_first_lease_is_given_once(backend: &Backend) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..4 {
        let outbox = Outbox::new(backend.connect().await);
        tasks.spawn(async move { outbox.lease(3, &n.to_string(), 60_000).await.unwrap() });
    }
    let given = tasks.join_all().await.into_iter().flatten().count();
    assert_eq!(given, 1);
}

async fn an_uncommitted_row_is_neither_seen_nor_waited_for(backend: &Backend) {
    let db = backend.connect().await;
    let outbox = Outbox::new(backend.connect().await);
    let early = row(0, "early");
    let late = row(0, "late");
    write(&db, std::slice::from_ref(&late)).await;
    let (dialect, rows) = (db.dialect(), std::slice::from_ref(&early));
    let written: Result<(), stores::sql::Error> = within(&db, "test", |tx, _| {
        let outbox = &outbox;
        Box::pin(async move {
            insert_rows(tx, dialect, rows).await?;
            let seen = head(outbox).await;
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].events[0].key, "late");
            Ok(())
        })
    })
    .await;
    written.unwrap();
    let rows = head(&outbox).await;
    let keys: Vec<&str> = rows.iter().map(|row| row.events[0].key.as_str()).collect();
    assert_eq!(keys, ["early", "late"]);
}

async fn depth_counts_all_shards(backend: &Backend) {
    let db = backend.connect().await;
    let outbox = Outbox::new(db.clone());
    assert_eq!(
        outbox.depth().await.unwrap(),
        messaging::outbox::Depth::default()
    );
    let events = (0..50).map(|n| event(n % 3, &n.to_string()));
    let rows = Packing::default().rows(events.collect());
    assert_eq!(rows.len(), 3);
    write(&db, &rows).await;
    let depth = outbox.depth().await.unwrap();
    assert_eq!(depth.events, 50);
    assert!(depth.oldest_us > 0);
    assert_eq!(depth.shards, 3);
    assert!(outbox.holds(50).await.unwrap());
    assert!(!outbox.holds(51).await.unwrap());
    let newest = outbox.newest().await.unwrap();
    assert_eq!(newest, rows.iter().map(|row| row.id).max());
    assert_eq!(outbox.events_up_to(newest.unwrap()).await.unwrap(), 50);
    let by_topic = outbox.by_topic().await.unwrap();
    let all = Waiting {
        topic: "order-completed-topic".into(),
        events: 50,
        oldest_us: 1_700_000_000_000_001,
    };
    assert_eq!(by_topic, [all]);
    let oldest = outbox.oldest(7).await.unwrap();
    let keys: Vec<&str> = oldest.iter().map(|event| event.key.as_str()).collect();
    assert_eq!(keys, ["0", "1", "2", "3", "4", "5", "6"]);
}
