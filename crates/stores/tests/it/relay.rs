//! The relay on the real outbox, while transactions commit beside it: no lock trouble, nothing lost, nothing left.
//! The log is the embedded one, in a file of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use messaging::embedded::{self, EmbeddedLog};
use messaging::log::{EventLog, TopicSpec};
use messaging::outbox::relay::{Relay, Settings, Wake};
use messaging::outbox::{Event, Packing, Store, shard_of};
use messaging::record::TopicPartition;
use stores::sql::Database;
use stores::sql::outbox::Outbox;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backends::{Backend, on_both};
use crate::outbox;

on_both!(everything_committed_is_published_and_gone);

const SHARDS: i32 = 4;
const WRITERS: usize = 4;
const BATCHES: usize = 40;
const BATCH: usize = 50;

fn event(n: usize) -> Event {
    let key = n.to_string();
    Event {
        topic: "a".into(),
        payload: format!("{{\"n\":{n},\"filler\":\"{}\"}}", "x".repeat(300)).into(),
        ..outbox::event(shard_of(&key, SHARDS), &key)
    }
}

async fn write(db: &Database, wake: &Wake, count: usize) -> Vec<Uuid> {
    let events: Vec<Event> = (0..count).map(event).collect();
    let ids = events.iter().map(|event| event.id).collect();
    let packed = Packing::default().rows(events);
    outbox::write(db, &packed).await;
    // Fewer than are written fit, so that some are found in the table only.
    wake.committed(packed);
    ids
}

async fn embedded_log() -> (Backend, Arc<EmbeddedLog>) {
    let home = Backend::sqlite().await;
    let file = home.connect().await;
    let log = EmbeddedLog::new(
        file.file_writer().expect("an SQLite file").clone(),
        file.reader().clone(),
        embedded::Settings::default(),
    );
    log.create_schema().await.unwrap();
    let topic = TopicSpec {
        name: "a".into(),
        partitions: 1,
        replication: 1,
        retention_ms: None,
        max_message_bytes: None,
    };
    log.create_topics(&[topic]).await.unwrap();
    (home, Arc::new(log))
}

async fn published(log: &EmbeddedLog) -> BTreeSet<String> {
    let partition = TopicPartition::new("a", 0);
    let mut ids = BTreeSet::new();
    let mut offset = 0;
    loop {
        let records = log.read(&partition, offset, 1_000, 0).await.unwrap();
        let Some(last) = records.last() else {
            return ids;
        };
        offset = last.offset + 1;
        ids.extend(
            records
                .iter()
                .filter_map(|record| record.headers.text("ce_id").map(ToOwned::to_owned)),
        );
    }
}

async fn everything_committed_is_published_and_gone(backend: &Backend) {
    let (_home, log) = embedded_log().await;
    let outbox = Arc::new(Outbox::new(backend.connect().await));
    let wake = Wake::new(SHARDS, 50);
    let start = |lease_ms| {
        let settings = Settings {
            owner: Uuid::now_v7().to_string(),
            shards: SHARDS,
            lease_ms,
            batch_max: 100,
            ..Settings::default()
        };
        let relay = Relay::new(
            Arc::clone(&log) as _,
            Arc::clone(&outbox) as _,
            settings,
            wake.clone(),
        );
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        (cancel, tokio::spawn(async move { relay.run(token).await }))
    };
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (db, wake) = (backend.connect().await, wake.clone());
        writers.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..BATCHES {
                ids.extend(write(&db, &wake, BATCH).await);
            }
            ids
        });
    }
    // The first is killed in the middle; the second waits for its leases.
    let (_, first) = start(1_000);
    testkit::eventually(
        Duration::from_secs(60),
        "the first relay is at work",
        async || {
            anyhow::ensure!(!published(&log).await.is_empty());
            Ok(())
        },
    )
    .await;
    first.abort();
    let _ = first.await;
    let (cancel, second) = start(30_000);
    let written: BTreeSet<String> = writers
        .join_all()
        .await
        .into_iter()
        .flatten()
        .map(|id| id.to_string())
        .collect();
    testkit::eventually(Duration::from_secs(60), "the outbox drains", async || {
        let events = outbox.depth().await?.events;
        anyhow::ensure!(events == 0, "{events} events");
        Ok(())
    })
    .await;
    assert_eq!(published(&log).await, written);
    assert_eq!(written.len(), WRITERS * BATCHES * BATCH);
    cancel.cancel();
    second.await.unwrap();
}
