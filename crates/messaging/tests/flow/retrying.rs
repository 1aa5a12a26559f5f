//! Records and batches that fail: held, retried, given on, bisected, rewound. Order where it is promised, and never a gap.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use messaging::consumer::{Event, Outcome, Retry, Settings, Verdict};
use messaging::log::Error;
use parking_lot::Mutex;

use crate::fake_log::FakeLog;
use crate::shop::{GROUP, Shop, done, each, failure, settings, until};

fn over_topics() -> Settings {
    Settings {
        retry: Retry::Topics {
            delays_ms: vec![1_000, 60_000],
        },
        ..settings()
    }
}

fn log_with_retry_topics(partitions: usize) -> Arc<FakeLog> {
    FakeLog::new(&[
        ("a", partitions),
        ("a-g-retry-1000", partitions),
        ("a-g-retry-60000", partitions),
        ("a-g-dlt", partitions),
    ])
}

#[tokio::test(start_paused = true)]
async fn in_place_the_order_is_kept_and_other_partitions_go_on() {
    let log = FakeLog::new(&[("a", 2)]);
    log.fill("a", 0, 20);
    log.fill("a", 1, 20);
    let healed = Arc::new(AtomicUsize::new(0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let shop = Shop::open(&log, settings(), {
        let (healed, order) = (Arc::clone(&healed), Arc::clone(&order));
        move |batch| {
            // As a handler that keeps order does: nothing after the first that fails.
            let mut failed = false;
            each(batch, |event| {
                let sick = event.record.offset == 3 && event.record.partition == 0;
                failed |= sick && healed.load(Ordering::SeqCst) == 0;
                if failed {
                    return Outcome::retry(failure());
                }
                if event.record.partition == 0 {
                    order.lock().push(event.record.offset);
                }
                Outcome::Done
            })
        }
    });
    shop.committed("a", 1, 20).await;
    until("the head is held", || shop.calls.lock().len() > 20).await;
    assert_eq!(log.committed_at(GROUP, "a", 0), 3);
    healed.store(1, Ordering::SeqCst);
    shop.committed("a", 0, 20).await;
    assert_eq!(*order.lock(), (0..20).collect::<Vec<_>>());
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn in_place_the_last_attempt_ends_in_a_dead_letter() {
    let log = FakeLog::new(&[("a", 1), ("a-g-dlt", 1)]);
    log.fill("a", 0, 10);
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let limits = Settings {
        retry: Retry::in_place(Some(3)),
        ..settings()
    };
    let shop = Shop::open(&log, limits, {
        let attempts = Arc::clone(&attempts);
        move |batch| {
            each(batch, |event| {
                if event.record.offset != 4 {
                    return Outcome::Done;
                }
                attempts.lock().push(event.attempt);
                Outcome::retry(failure())
            })
        }
    });
    shop.committed("a", 0, 10).await;
    assert_eq!(*attempts.lock(), [1, 2, 3]);
    let dead = log.records("a-g-dlt");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].value.as_deref(), Some("4".as_bytes()));
    assert_eq!(dead[0].key.as_deref(), Some("k".as_bytes()));
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn over_topics_a_record_walks_to_its_dead_letter_and_stays_the_same_record() {
    let log = log_with_retry_topics(2);
    log.fill("a", 1, 10);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shop = Shop::open(&log, over_topics(), {
        let seen = Arc::clone(&seen);
        move |batch| {
            each(batch, |event| {
                if event.record.value.as_deref() != Some(b"4") {
                    return Outcome::Done;
                }
                seen.lock().push(event.clone());
                Outcome::retry(failure())
            })
        }
    });
    until("it is dead", || !log.records("a-g-dlt").is_empty()).await;
    shop.committed("a", 1, 10).await;
    shop.committed("a-g-retry-60000", 1, 1).await;
    let seen: Vec<Event> = seen.lock().clone();
    let topics: Vec<&str> = seen
        .iter()
        .map(|event| event.record.topic.as_str())
        .collect();
    assert_eq!(topics, ["a", "a-g-retry-1000", "a-g-retry-60000"]);
    assert_eq!(
        seen.iter().map(|event| event.attempt).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for event in &seen {
        assert_eq!(event.origin, seen[0].origin);
        assert_eq!(event.identity, seen[0].identity);
        assert_eq!(event.record.partition, 1);
    }
    let dead = &log.records("a-g-dlt")[0];
    assert_eq!(dead.partition, 1);
    assert_eq!(dead.headers.text("kafka_dlt-original-topic"), Some("a"));
    assert_eq!(
        dead.headers
            .get("kafka_dlt-original-offset")
            .unwrap()
            .as_ref(),
        4_i64.to_be_bytes()
    );
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn poison_is_dead_at_once_and_its_neighbours_are_not_delayed() {
    let log = FakeLog::new(&[("a", 1), ("a-g-dlt", 1)]);
    log.fill("a", 0, 10);
    let shop = Shop::open(&log, settings(), |batch| {
        each(batch, |event| match event.record.offset {
            2 | 7 => Outcome::Dead(failure()),
            _ => Outcome::Done,
        })
    });
    shop.committed("a", 0, 10).await;
    assert_eq!(shop.calls.lock().len(), 1);
    let dead: Vec<_> = log
        .records("a-g-dlt")
        .into_iter()
        .filter_map(|record| record.value)
        .collect();
    assert_eq!(dead, ["2", "7"]);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_not_taken_stops_its_partition_alone() {
    let log = FakeLog::new(&[("a", 2), ("a-g-dlt", 2)]);
    log.fill("a", 0, 30);
    log.fill("a", 1, 30);
    log.refuse(|record| (record.topic == "a-g-dlt").then(|| Error::Unavailable("full".into())));
    let shop = Shop::open(&log, settings(), |batch| {
        each(batch, |event| {
            match (event.record.partition, event.record.offset) {
                (0, 12) => Outcome::Dead(failure()),
                _ => Outcome::Done,
            }
        })
    });
    shop.committed("a", 1, 30).await;
    shop.committed("a", 0, 12).await;
    let tries = log.publishes();
    until("it is tried again", || log.publishes() > tries + 5).await;
    assert_eq!(log.committed_at(GROUP, "a", 0), 12);
    log.take_everything();
    shop.committed("a", 0, 30).await;
    assert_eq!(log.records("a-g-dlt").len(), 1);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_topic_with_fewer_partitions_is_used_all_the_same() {
    let log = FakeLog::new(&[("a", 3), ("a-g-dlt", 1)]);
    log.fill("a", 2, 3);
    let shop = Shop::open(&log, settings(), |batch| {
        each(batch, |_| Outcome::Dead(failure()))
    });
    shop.committed("a", 2, 3).await;
    assert_eq!(log.records("a-g-dlt").len(), 3);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_pours_nothing_into_dead_letters() {
    let log = log_with_retry_topics(1);
    log.fill("a", 0, 25);
    let calls = Arc::new(AtomicUsize::new(0));
    let limits = Settings {
        retry: Retry::Topics { delays_ms: vec![] },
        ..settings()
    };
    let shop = Shop::open(&log, limits, move |batch| {
        if calls.fetch_add(1, Ordering::SeqCst) < 50 {
            Verdict::RetryAll(failure())
        } else {
            done(batch)
        }
    });
    shop.committed("a", 0, 25).await;
    assert!(log.records("a-g-dlt").is_empty());
    assert!(
        shop.calls.lock()[..50]
            .iter()
            .all(|call| call.len() == 10 && call[0].2 == 0)
    );
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn bisecting_finds_the_culprits_and_keeps_the_order() {
    let log = FakeLog::new(&[("a", 1), ("a-g-dlt", 1)]);
    log.fill("a", 0, 64);
    let order = Arc::new(Mutex::new(Vec::new()));
    let limits = Settings {
        batch_max: 64,
        ..settings()
    };
    let shop = Shop::open(&log, limits, {
        let order = Arc::clone(&order);
        move |batch| {
            if batch
                .iter()
                .any(|event| [13, 14, 63].contains(&event.record.offset))
            {
                return Verdict::Suspect(failure());
            }
            order
                .lock()
                .extend(batch.iter().map(|event| event.record.offset));
            done(batch)
        }
    });
    shop.committed("a", 0, 64).await;
    let healthy: Vec<i64> = (0..64).filter(|n| ![13, 14, 63].contains(n)).collect();
    assert_eq!(*order.lock(), healthy);
    let dead: Vec<_> = log
        .records("a-g-dlt")
        .into_iter()
        .filter_map(|record| record.value)
        .collect();
    assert_eq!(dead, ["13", "14", "63"]);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_or_a_wrong_count_holds_the_batch() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 10);
    let calls = AtomicUsize::new(0);
    let shop = Shop::open(&log, settings(), move |batch| {
        match calls.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("a defect"),
            1 => Verdict::Each(vec![Outcome::Done]),
            _ => done(batch),
        }
    });
    shop.committed("a", 0, 10).await;
    assert_eq!(shop.calls.lock().len(), 3);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_rewind_reads_again_and_skips_nothing() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 50);
    let effects = Arc::new(Mutex::new(HashMap::<i64, usize>::new()));
    let rewinds = AtomicUsize::new(0);
    let shop = Shop::open(&log, settings(), {
        let effects = Arc::clone(&effects);
        move |batch| {
            let first = batch[0].record.offset;
            if first == 30 && rewinds.fetch_add(1, Ordering::SeqCst) == 0 {
                return Verdict::Rewind { offset: 5 };
            }
            // Asking for what lies ahead skips nothing.
            if first == 45 && rewinds.fetch_add(1, Ordering::SeqCst) < 3 {
                return Verdict::Rewind { offset: 1_000 };
            }
            for event in batch {
                *effects.lock().entry(event.record.offset).or_default() += 1;
            }
            done(batch)
        }
    });
    shop.committed("a", 0, 50).await;
    let effects = effects.lock().clone();
    for offset in 0..50 {
        let times = if (5..30).contains(&offset) { 2 } else { 1 };
        assert_eq!(effects.get(&offset), Some(&times), "{offset}");
    }
    shop.close().await;
}
