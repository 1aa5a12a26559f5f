//! Partitions that are taken away and given back in the middle of work.

use std::time::Duration;

use messaging::consumer::{Outcome, Settings, Verdict};
use messaging::log::Error;
use messaging::record::TopicPartition;

use crate::fake_log::FakeLog;
use crate::shop::{GROUP, Shop, done, each, failure, settings, until};

#[tokio::test(start_paused = true)]
async fn a_revoke_waits_for_the_batch_in_hand_and_commits_it() {
    let log = FakeLog::new(&[("a", 2)]);
    log.fill("a", 0, 30);
    let shop = Shop::open_slow(&log, settings(), |batch| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            done(&batch)
        })
    });
    until("a batch is in hand", || !shop.calls.lock().is_empty()).await;
    let mine = [TopicPartition::new("a", 0)];
    log.revoke(&mine).await.unwrap();
    assert_eq!(log.committed_at(GROUP, "a", 0), 10);
    assert_eq!(shop.calls.lock().len(), 1);
    // What is left goes on working, and the partition may come back.
    log.fill("a", 1, 5);
    shop.committed("a", 1, 5).await;
    log.assign(&mine);
    shop.committed("a", 0, 30).await;
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_loses_its_batch_and_nothing_is_committed() {
    let log = FakeLog::new(&[("a", 2)]);
    log.fill("a", 0, 10);
    let shop = Shop::open_slow(&log, settings(), |batch| {
        Box::pin(async move {
            if batch[0].record.partition == 0 {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
            }
            done(&batch)
        })
    });
    until("a batch is in hand", || !shop.calls.lock().is_empty()).await;
    log.revoke(&[TopicPartition::new("a", 0)]).await.unwrap();
    log.fill("a", 1, 5);
    shop.committed("a", 1, 5).await;
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(log.committed_at(GROUP, "a", 0), 0);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_revoke_ends_a_backoff_and_commits_what_was_done_before_it() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 10);
    let shop = Shop::open(&log, settings(), |batch| {
        each(batch, |event| {
            if event.record.offset < 6 {
                Outcome::Done
            } else {
                Outcome::retry(failure())
            }
        })
    });
    until("the head is held", || shop.calls.lock().len() > 20).await;
    let calls = shop.calls.lock().len();
    log.revoke(&[TopicPartition::new("a", 0)]).await.unwrap();
    assert_eq!(log.committed_at(GROUP, "a", 0), 6);
    assert!(shop.calls.lock().len() <= calls + 1);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_taken_without_a_word_commits_nothing_of_its_old_batch() {
    let log = FakeLog::new(&[("a", 1)]);
    log.fill("a", 0, 10);
    let shop = Shop::open_slow(&log, settings(), |batch| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            done(&batch)
        })
    });
    until("a batch is in hand", || !shop.calls.lock().is_empty()).await;
    log.end_membership(Error::Unavailable("fenced".into()));
    until("it is delivered again", || shop.calls.lock().len() == 2).await;
    assert_eq!(log.commits(), []);
    shop.committed("a", 0, 10).await;
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_rebalances_still_makes_progress() {
    let log = FakeLog::new(&[("a", 3)]);
    for partition in 0..3 {
        log.fill("a", partition, 300);
    }
    let limits = Settings {
        drain_ms: 500,
        ..settings()
    };
    let shop = Shop::open_slow(&log, limits, |batch| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..400))).await;
            if fastrand::u8(..) < 25 {
                Verdict::RetryAll(failure())
            } else {
                done(&batch)
            }
        })
    });
    for round in 0..60 {
        let partition = [TopicPartition::new("a", round % 3)];
        log.revoke(&partition).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        log.assign(&partition);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for partition in 0..3 {
        shop.committed("a", partition, 300).await;
    }
    shop.close().await;
}
