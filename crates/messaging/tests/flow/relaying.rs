//! The relay: nothing is lost, nothing deleted before its acknowledgement, one owner a shard, and bad rows do not stop good ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use messaging::log::Error;
use messaging::outbox::relay::{Relay, Settings, Wake};
use messaging::outbox::{Event, Row};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake_log::{FakeLog, Handle};
use crate::fake_store::{FakeStore, event, row};
use crate::shop::until;

pub fn settings() -> Settings {
    Settings {
        shards: 1,
        batch_max: 10,
        ..Settings::default()
    }
}

pub fn relay(log: &Arc<FakeLog>, store: &Arc<FakeStore>, settings: Settings) -> Relay {
    let wake = Wake::new(settings.shards, 1_000);
    Relay::new(
        Arc::new(Handle(Arc::clone(log))),
        Arc::clone(store) as _,
        settings,
        wake,
    )
}

pub fn start(relay: Relay) -> (CancellationToken, JoinHandle<()>) {
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let cancel = cancel.clone();
        async move { relay.run(cancel).await }
    });
    (cancel, running)
}

/// Values on the topic, in the order in which they lie there.
pub fn values(log: &FakeLog, topic: &str) -> Vec<usize> {
    let value = |record: messaging::record::Record| {
        String::from_utf8(record.value.unwrap().to_vec()).unwrap()
    };
    log.records(topic)
        .into_iter()
        .map(|record| value(record).parse().unwrap())
        .collect()
}

/// How often each value lies on the topic.
pub fn times(log: &FakeLog, topic: &str) -> BTreeMap<usize, usize> {
    let mut times = BTreeMap::new();
    for value in values(log, topic) {
        *times.entry(value).or_insert(0) += 1;
    }
    times
}

#[tokio::test(start_paused = true)]
async fn once_over_everything_in_order_and_nothing_is_left() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with((0..95).map(row));
    let relay = relay(&log, &store, settings());
    assert_eq!(relay.relay_once(0).await.unwrap(), 95);
    assert_eq!(relay.relay_once(0).await.unwrap(), 0);
    assert_eq!(values(&log, "a"), (0..95).collect::<Vec<_>>());
    assert_eq!(store.rows(), 0);
    assert_eq!(store.owner(0), None);
    let record = &log.records("a")[0];
    assert_eq!(record.headers.text("madang-seq"), Some("0"));
    assert_eq!(
        record.headers.text("ce_id"),
        Some(store.deleted()[0].id.to_string().as_str())
    );
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_announced_late_or_never_go_out() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with([]);
    let wake = Wake::new(1, 1_000);
    let late = row(0);
    let relay = Relay::new(
        Arc::new(Handle(Arc::clone(&log))),
        Arc::clone(&store) as _,
        settings(),
        wake.clone(),
    );
    let (cancel, running) = start(relay);
    store.write((1..20).map(row));
    wake.all();
    until("what was announced is out", || {
        values(&log, "a").len() == 19
    })
    .await;
    // Its id is lower than all that were seen: a reader that only goes forward would never find it.
    store.write([late]);
    until("the late committer is out", || {
        values(&log, "a").contains(&0)
    })
    .await;
    until("all are deleted", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(store.owner(0), None);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_acknowledged_is_deleted() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with((0..30).map(row));
    log.refuse(|record| {
        let seq: usize = record.headers.text("madang-seq")?.parse().ok()?;
        seq.is_multiple_of(3)
            .then(|| Error::Unavailable("timed out".into()))
    });
    let relay = relay(&log, &store, settings());
    relay.relay_once(0).await.unwrap();
    let sent = values(&log, "a");
    for deleted in store.deleted() {
        let seq = deleted.events[0].seq.unwrap();
        assert!(sent.contains(&(seq as usize)));
        assert_ne!(seq % 3, 0);
    }
    assert!(store.rows() >= 10);
    log.take_everything();
    let (cancel, running) = start(relay);
    until("the rest is out", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    let mut all = values(&log, "a");
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_is_waited_for_without_spinning() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with((0..100).map(row));
    log.refuse(|_| Some(Error::Unavailable("away".into())));
    let (cancel, running) = start(relay(&log, &store, settings()));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(store.rows(), 100);
    assert!(log.publishes() < 20_000, "{}", log.publishes());
    log.take_everything();
    until("the backlog is out", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_goes_to_its_dead_letters_and_else_stays_and_its_neighbours_go_on() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with((0..30).map(row));
    let tries = Arc::new(AtomicUsize::new(0));
    log.refuse({
        let tries = Arc::clone(&tries);
        move |record| {
            let large = record.headers.text("madang-seq") == Some("7") && record.topic == "a";
            large.then(|| {
                tries.fetch_add(1, Ordering::SeqCst);
                Error::Refused("too large".into())
            })
        }
    });
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("the others are out", || store.rows() == 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(store.rows(), 1);
    assert!(
        (2..200).contains(&tries.load(Ordering::SeqCst)),
        "{tries:?}"
    );
    cancel.cancel();
    running.await.unwrap();

    let log = FakeLog::new(&[("a", 1), ("a-outbox-dlt", 1)]);
    let store = FakeStore::with((0..30).map(row));
    log.refuse(|record| {
        let large = record.headers.text("madang-seq") == Some("7") && record.topic == "a";
        large.then(|| Error::Refused("too large".into()))
    });
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("all are out", || store.rows() == 0).await;
    let dead = &log.records("a-outbox-dlt")[0];
    assert_eq!(dead.value.as_deref(), Some("7".as_bytes()));
    assert_eq!(dead.headers.text("kafka_dlt-original-topic"), Some("a"));
    assert_eq!(values(&log, "a").len(), 29);
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_missing_topic_holds_its_own_rows_only() {
    let log = FakeLog::new(&[("a", 1)]);
    let other = |n| {
        Row::from(Event {
            topic: "missing".into(),
            ..event(n)
        })
    };
    let store = FakeStore::with((0..200).map(other).chain((0..20).map(row)));
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("the others are out", || store.rows() == 200).await;
    log.create("missing");
    until("the topic's own follow", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn more_refused_rows_than_can_be_remembered_slow_the_others_down_and_no_more() {
    let log = FakeLog::new(&[("a", 1)]);
    let bad = |n| {
        Row::from(Event {
            key: "bad".into(),
            ..event(n)
        })
    };
    let store = FakeStore::with((0..200).map(bad).chain((0..20).map(row)));
    log.refuse(|record| {
        (record.key.as_deref() == Some(b"bad")).then(|| Error::Refused("no".into()))
    });
    let limits = Settings {
        held_max: 50,
        ..settings()
    };
    let (cancel, running) = start(relay(&log, &store, limits));
    until("the others are out", || store.rows() == 200).await;
    log.take_everything();
    until("all are out", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_relay_a_shard_and_another_takes_over() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with([]);
    let named = |owner: &str| {
        relay(
            &log,
            &store,
            Settings {
                owner: owner.into(),
                shards: 4,
                ..settings()
            },
        )
    };
    let (_, first) = start(named("first"));
    until("it has all shards", || {
        (0..4).all(|shard| store.owner(shard).is_some())
    })
    .await;
    let (cancel, second) = start(named("second"));
    store.write((0..20).map(row));
    until("they are out", || store.rows() == 0).await;
    assert!((0..4).all(|shard| store.owner(shard).as_deref() == Some("first")));
    // A crash: leases run out.
    first.abort();
    let _ = first.await;
    store.write((20..40).map(row));
    until("the second has taken over", || store.rows() == 0).await;
    assert_eq!(store.owner(0).as_deref(), Some("second"));
    cancel.cancel();
    second.await.unwrap();
    assert_eq!(store.owner(0), None);
}

#[tokio::test(start_paused = true)]
async fn rows_of_shards_beyond_the_settings_go_out_too() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with([]);
    let of_shard = |shard, n| Row { shard, ..row(n) };
    store.write((0..10).map(|n| of_shard(2, n)));
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("they are out", || store.rows() == 0).await;
    // Somebody who was not told writes on.
    store.write((10..20).map(|n| of_shard(n as i32 % 5, n)));
    until("these are out too", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(times(&log, "a"), (0..20).map(|n| (n, 1)).collect());
    assert!((0..5).all(|shard| store.owner(shard).is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_lost_its_shard_deletes_nothing_and_stops_publishing() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with([]);
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("it has the shard", || store.owner(0).is_some()).await;
    store.steal(0, Duration::from_secs(300));
    store.write((0..10).map(row));
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(store.rows(), 10);
    let published = log.publishes();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.publishes(), published);
    until("it has it again once the thief's lease has run out", || {
        store.rows() == 0
    })
    .await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_stops_publishing_before_the_lease_could_be_anothers() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with([]);
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("it has the shard", || store.owner(0).is_some()).await;
    let calls = Arc::new(AtomicUsize::new(0));
    store.fail({
        let calls = Arc::clone(&calls);
        move |call| call == "lease" && calls.fetch_add(1, Ordering::SeqCst) < usize::MAX
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    store.write((0..10).map(row));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(log.publishes(), 0);
    assert!(calls.load(Ordering::SeqCst) < 2_000, "{calls:?}");
    store.heal();
    until("it goes on", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_fails_is_made_up_for_without_sending_again() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with((0..50).map(row));
    let failures = AtomicUsize::new(0);
    store.fail(move |call| call == "delete" && failures.fetch_add(1, Ordering::SeqCst) < 20);
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("all are deleted", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    let times = times(&log, "a");
    assert_eq!(times.len(), 50);
    assert!(times.values().all(|count| *count == 1), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_what_is_on_its_way_come_back() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with((0..500).map(row));
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("it has begun", || log.publishes() > 0).await;
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(store.rows() + values(&log, "a").len(), 500);
}
