//! The relay and rows that hold several events: each event is sent once, and a row goes when all of its own are there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use messaging::log::Error;
use messaging::outbox::Event;
use messaging::outbox::relay::{Relay, Settings, Wake};

use crate::fake_log::{FakeLog, Handle};
use crate::fake_store::{FakeStore, event, packed, row};
use crate::relaying::{relay, settings, start, times, values};
use crate::shop::until;

#[tokio::test(start_paused = true)]
async fn all_events_of_a_row_go_out_in_order() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with(packed((0..95).map(event), 7));
    let relay = relay(&log, &store, settings());
    assert_eq!(relay.relay_once(0).await.unwrap(), 95);
    assert_eq!(values(&log, "a"), (0..95).collect::<Vec<_>>());
    assert_eq!(store.rows(), 0);
    assert_eq!(store.deleted().len(), 14);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_handed_over_waits_for_no_look_at_the_table() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with([]);
    let wake = Wake::new(1, 1_000);
    let settings = settings();
    let handle = Arc::new(Handle(Arc::clone(&log)));
    let beats = Duration::from_millis(settings.batch_interval_ms * 2);
    assert!(beats < Duration::from_millis(settings.idle_poll_max_ms / 2));
    let relay = Relay::new(handle, Arc::clone(&store) as _, settings, wake.clone());
    let (cancel, running) = start(relay);
    for n in 0..60 {
        // By turns long after the last look and right after it, while no batch may begin yet.
        tokio::time::sleep(Duration::from_millis(700 + n as u64 * 13)).await;
        let row = row(n);
        store.write([row.clone()]);
        wake.committed(vec![row]);
        let committed = tokio::time::Instant::now();
        until("it is out", || values(&log, "a").len() == n + 1).await;
        let took = committed.elapsed();
        assert!(took <= beats, "row {n}: {took:?}");
    }
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_there_of_a_row_is_not_sent_again_with_the_rest() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with(packed((0..60).map(event), 6));
    let away = Arc::new(AtomicUsize::new(0));
    log.refuse({
        let away = Arc::clone(&away);
        move |record| {
            let seq: usize = record.headers.text("madang-seq")?.parse().ok()?;
            let refused = seq.is_multiple_of(5) && away.fetch_add(1, Ordering::SeqCst) < 100;
            refused.then(|| Error::Unavailable("timed out".into()))
        }
    });
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("all are out", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    assert!(away.load(Ordering::SeqCst) > 100);
    assert_eq!(times(&log, "a"), (0..60).map(|n| (n, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn more_rows_sent_in_part_than_can_be_remembered_lose_nothing() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with(packed((0..60).map(event), 6));
    let mut away = 100;
    log.refuse(move |record| {
        let is_tenth = record.key.as_deref()?.ends_with(b"0");
        let refused = is_tenth && away > 0;
        away -= usize::from(refused);
        refused.then(|| Error::Unavailable("timed out".into()))
    });
    let limits = Settings {
        held_max: 1,
        ..settings()
    };
    let (cancel, running) = start(relay(&log, &store, limits));
    until("all are out", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    let times = times(&log, "a");
    assert_eq!(times.len(), 60);
    assert!(times.values().any(|times| *times > 1), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_is_a_dead_letter_and_its_neighbours_are_not() {
    let log = FakeLog::new(&[("a", 1), ("a-outbox-dlt", 1)]);
    let store = FakeStore::with(packed((0..30).map(event), 10));
    log.refuse(|record| {
        let large = record.headers.text("madang-seq") == Some("7") && record.topic == "a";
        large.then(|| Error::Refused("too large".into()))
    });
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("all are out", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(times(&log, "a-outbox-dlt"), BTreeMap::from([(7, 1)]));
    let others = (0..30).filter(|n| *n != 7).map(|n| (n, 1)).collect();
    assert_eq!(times(&log, "a"), others);
}

#[tokio::test(start_paused = true)]
async fn a_row_with_an_event_that_nothing_takes_stays_and_repeats_no_other() {
    let log = FakeLog::new(&[("a", 1)]);
    let store = FakeStore::with(packed((0..30).map(event), 10));
    log.refuse(|record| {
        let large = record.headers.text("madang-seq") == Some("7");
        large.then(|| Error::Refused("too large".into()))
    });
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("the others are out", || store.rows() == 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(store.rows(), 1);
    log.take_everything();
    until("it is out too", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(times(&log, "a"), (0..30).map(|n| (n, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn a_missing_topic_holds_its_own_rows_only() {
    let log = FakeLog::new(&[("a", 1)]);
    let other = |n| Event {
        topic: "missing".into(),
        ..event(n)
    };
    let mixed = (0..60).flat_map(|n| [event(n), other(n)]);
    let store = FakeStore::with(packed(mixed, 6));
    let (cancel, running) = start(relay(&log, &store, settings()));
    until("the others are out", || store.rows() == 10).await;
    log.create("missing");
    until("the topic's own follow", || store.rows() == 0).await;
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(times(&log, "a"), times(&log, "missing"));
}
