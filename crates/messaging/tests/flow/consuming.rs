//! What is handed over, what is committed, and when: without failures of single records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use messaging::consumer::{Outcome, Settings, Verdict, lag};
use messaging::log::Error;
use messaging::record::TopicPartition;

use crate::fake_log::{FakeLog, Handle};
use crate::shop::{Shop, done, each, failure, settings, until};

#[tokio::test(start_paused = true)]
async fn every_record_is_handed_over_in_order_and_committed() {
    let log = FakeLog::new(&[("a", 3)]);
    for partition in 0..3 {
        log.fill("a", partition, 45);
    }
    let shop = Shop::open(&log, settings(), done);
    for partition in 0..3 {
        shop.committed("a", partition, 45).await;
    }
    for partition in 0..3 {
        let offsets: Vec<i64> = shop
            .calls
            .lock()
            .iter()
            .flatten()
            .filter(|c| c.1 == partition)
            .map(|c| c.2)
            .collect();
        assert_eq!(offsets, (0..45).collect::<Vec<_>>());
        let commits: Vec<i64> = log
            .commits()
            .iter()
            .filter(|c| c.0.partition == partition)
            .map(|c| c.1)
            .collect();
        assert!(commits.is_sorted(), "{commits:?}");
    }
    assert!(shop.calls.lock().iter().all(|call| call.len() <= 10));
    shop.close().await;
    assert_eq!(log.left(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_partitions_at_once_than_allowed_and_one_batch_each() {
    let log = FakeLog::new(&[("a", 6)]);
    for partition in 0..6 {
        log.fill("a", partition, 30);
    }
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let limits = Settings {
        concurrency: 2,
        ..settings()
    };
    let shop = Shop::open_slow(&log, limits, {
        let most = Arc::clone(&most);
        move |batch| {
            let at_once = Arc::clone(&at_once);
            let most = Arc::clone(&most);
            Box::pin(async move {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                done(&batch)
            })
        }
    });
    for partition in 0..6 {
        shop.committed("a", partition, 30).await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_committed_is_delivered_again_after_a_crash() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 10);
    let shop = Shop::open(&log, settings(), |batch| {
        each(batch, |event| {
            if event.record.offset < 4 {
                Outcome::Done
            } else {
                Outcome::retry(failure())
            }
        })
    });
    shop.committed("a", 0, 4).await;
    shop.running.abort();
    let _ = shop.running.await;
    assert_eq!(log.left(), 0);
    let shop = Shop::open(&log, settings(), done);
    shop.committed("a", 0, 10).await;
    assert_eq!(shop.calls.lock()[0][0].2, 4);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_settles_what_is_in_hand_and_takes_no_more() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 100);
    let began = Arc::new(AtomicBool::new(false));
    let shop = Shop::open_slow(&log, settings(), {
        let began = Arc::clone(&began);
        move |batch| {
            began.store(true, Ordering::SeqCst);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                done(&batch)
            })
        }
    });
    until("a batch is in hand", || began.load(Ordering::SeqCst)).await;
    shop.cancel.cancel();
    shop.running.await.unwrap().unwrap();
    assert_eq!(log.commits(), [(TopicPartition::new("a", 0), 10)]);
    assert_eq!(shop.calls.lock().len(), 1);
    assert_eq!(log.left(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_backoff_or_for_ever() {
    let log = FakeLog::new(&[("a", 2)]);
    log.fill("a", 0, 5);
    log.fill("a", 1, 5);
    let shop = Shop::open_slow(&log, settings(), |batch| {
        Box::pin(async move {
            if batch[0].record.partition == 0 {
                return Verdict::RetryAll(failure());
            }
            std::future::pending().await
        })
    });
    until("both are in hand", || shop.calls.lock().len() > 3).await;
    shop.close().await;
    assert_eq!(log.commits(), []);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_is_waited_for_and_a_refusal_is_not() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 5);
    let away = || Error::Unavailable("away".into());
    log.fail_joins([away(), Error::UnknownTopic("a".into()), away()]);
    log.fail_commits([away(), away()]);
    let shop = Shop::open(&log, settings(), done);
    shop.committed("a", 0, 5).await;
    log.fill("a", 0, 5);
    log.end_membership(away());
    shop.committed("a", 0, 10).await;
    log.fail_joins([Error::Refused("not allowed".into())]);
    log.end_membership(away());
    assert!(matches!(
        shop.running.await.unwrap(),
        Err(Error::Refused(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_partition_leaves_the_others_alone() {
    let log = FakeLog::new(&[("a", 2)]);
    log.fill("a", 0, 5);
    let shop = Shop::open(&log, settings(), done);
    shop.committed("a", 0, 5).await;
    let partition = TopicPartition::new("a", 0);
    let error = Error::OffsetOutOfRange {
        partition: partition.clone(),
        offset: 5,
        low: 9,
        high: 9,
    };
    log.stop(partition, error);
    log.fill("a", 1, 5);
    shop.committed("a", 1, 5).await;
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn lag_is_what_is_not_committed_retry_topics_included() {
    let log = FakeLog::new(&[("a", 2), ("a-g-retry-1000", 2)]);
    log.fill("a", 0, 7);
    log.fill("a", 1, 3);
    log.fill("a-g-retry-1000", 1, 1);
    let settings = Settings {
        retry: messaging::consumer::Retry::Topics {
            delays_ms: vec![1_000],
        },
        ..settings()
    };
    let handle = Handle(Arc::clone(&log));
    let records = async || -> Vec<u64> {
        let lags = lag(&handle, &settings).await.unwrap();
        lags.iter().map(|lag| lag.records).collect()
    };
    assert_eq!(records().await, [7, 3, 0, 1]);
    let shop = Shop::open(&log, settings.clone(), done);
    shop.committed("a", 0, 7).await;
    shop.committed("a", 1, 3).await;
    shop.committed("a-g-retry-1000", 1, 1).await;
    assert_eq!(records().await, [0, 0, 0, 0]);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_seek_whose_answer_was_lost_is_made_once() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 10);
    log.lose_seeks([Error::Unavailable("no answer".into())]);
    let settings = Settings {
        batch_interval_ms: 0,
        batch_max: 5,
        ..settings()
    };
    let calls = AtomicUsize::new(0);
    let shop = Shop::open(&log, settings, move |batch| {
        match calls.fetch_add(1, Ordering::Relaxed) {
            1 => Verdict::Rewind { offset: 2 },
            _ => done(batch),
        }
    });
    shop.committed("a", 0, 10).await;
    log.fill("a", 0, 3);
    shop.committed("a", 0, 13).await;
    let begun: Vec<i64> = shop.calls.lock().iter().map(|call| call[0].2).collect();
    assert_eq!(begun, [0, 5, 2, 7, 10]);
    shop.close().await;
}
