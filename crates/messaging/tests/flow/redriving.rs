//! Dead letters that go back: to the one group that failed, as the same record, once, and with their count when they fail again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use messaging::consumer::{Event, Outcome, Retry, Settings, lag};
use messaging::dead_letters::{Options, Place, Redriven, Story, redrive};
use messaging::log::Error;
use messaging::record::Record;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::fake_log::{FakeLog, Handle};
use crate::shop::{GROUP, Shop, each, failure, settings, until};

const DEAD: &str = "a-g-dlt";
const BACK: &str = "a-g-retry-0";

fn log(partitions: usize) -> Arc<FakeLog> {
    FakeLog::new(&[
        ("a", partitions),
        ("a-g-retry-1000", partitions),
        (BACK, partitions),
        (DEAD, partitions),
        ("a-outbox-dlt", 1),
    ])
}

fn all() -> Options {
    Options {
        rate_per_second: 1_000,
        limit: None,
        again: false,
        dry_run: false,
    }
}

/// Sends back what is wanted; how far it came and how it ended.
async fn send(
    log: &Arc<FakeLog>,
    options: &Options,
    wanted: impl Fn(&Record) -> bool,
) -> (Redriven, Result<(), Error>) {
    let mut progress = Redriven::default();
    let log = Handle(Arc::clone(log));
    let place = Place::of_group("a", GROUP);
    let cancel = CancellationToken::new();
    let ended = redrive(&log, &place, options, wanted, &cancel, &mut progress).await;
    (progress, ended)
}

async fn send_all(log: &Arc<FakeLog>) -> Redriven {
    let (progress, ended) = send(log, &all(), |_| true).await;
    ended.unwrap();
    progress
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_comes_back_with_its_count_and_stays_the_same_record() {
    for retry in [
        Retry::in_place(Some(2)),
        Retry::Topics {
            delays_ms: vec![1_000],
        },
    ] {
        let log = log(2);
        log.fill("a", 1, 5);
        let healed = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::<Event>::new()));
        let limits = Settings {
            retry,
            ..settings()
        };
        let shop = Shop::open(&log, limits.clone(), {
            let (healed, seen) = (Arc::clone(&healed), Arc::clone(&seen));
            move |batch| {
                each(batch, |event| {
                    if event.record.value.as_deref() != Some(b"3") {
                        return Outcome::Done;
                    }
                    seen.lock().push(event.clone());
                    if healed.load(Ordering::SeqCst) {
                        Outcome::Done
                    } else {
                        Outcome::retry(failure())
                    }
                })
            }
        });
        for round in 1..=2_usize {
            until("it is dead", || log.records(DEAD).len() == round).await;
            let dead = log.records(DEAD).pop().unwrap();
            assert_eq!(dead.partition, 1);
            let story = Story::of(&dead);
            assert_eq!(story.origin.unwrap().offset, 3);
            assert_eq!(story.cause, "Kind");
            assert_eq!(story.deliveries as usize, 2 * round);
            healed.store(round == 2, Ordering::SeqCst);
            assert_eq!(send_all(&log).await.sent, 1, "round {round}");
        }
        shop.committed(BACK, 1, 2).await;
        let seen = seen.lock().clone();
        let attempts: Vec<u32> = seen.iter().map(|event| event.attempt).collect();
        assert_eq!(attempts, [1, 2, 3, 4, 5]);
        let identities: BTreeSet<_> = seen.iter().map(|event| event.identity.clone()).collect();
        assert_eq!(identities.len(), 1);
        assert!(
            seen.iter()
                .all(|event| event.record.key.as_deref() == Some(b"k"))
        );
        // Nothing went to the source, which other groups read too; and the group's lag knows the way back.
        assert_eq!(log.records("a").len(), 5);
        let lags = lag(&Handle(Arc::clone(&log)), &limits).await.unwrap();
        assert!(
            lags.iter()
                .any(|at| at.topic == BACK && at.partition == 1 && at.records == 0)
        );
        shop.close().await;
    }
}

/// So many records of which each died once, and nobody consumes any more.
async fn log_of_dead(count: usize) -> Arc<FakeLog> {
    let log = log(1);
    log.fill("a", 0, count);
    let shop = Shop::open(&log, settings(), |batch| {
        each(batch, |_| Outcome::Dead(failure()))
    });
    shop.committed("a", 0, i64::try_from(count).unwrap()).await;
    shop.close().await;
    log
}

fn values(log: &FakeLog, topic: &str) -> Vec<String> {
    let text = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
    log.records(topic).into_iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn each_goes_back_once_unless_it_is_asked_for_again() {
    let log = log_of_dead(1_200).await;
    let dry = Options {
        dry_run: true,
        ..all()
    };
    assert_eq!(send(&log, &dry, |_| true).await.0.sent, 1_200);
    assert!(log.records(BACK).is_empty());

    let few = Options {
        limit: Some(3),
        ..all()
    };
    let (progress, _) = send(&log, &few, |record| record.offset >= 10).await;
    assert_eq!(progress.sent, 3);
    assert_eq!(values(&log, BACK), ["10", "11", "12"]);
    let progress = send_all(&log).await;
    assert_eq!((progress.sent, progress.sent_before), (1_197, 3));
    let progress = send_all(&log).await;
    assert_eq!((progress.sent, progress.sent_before), (0, 1_200));
    let once: BTreeSet<String> = values(&log, BACK).into_iter().collect();
    assert_eq!((once.len(), log.records(BACK).len()), (1_200, 1_200));

    let again = Options {
        again: true,
        ..all()
    };
    let (progress, _) = send(&log, &again, |record| record.offset == 11).await;
    assert_eq!((progress.sent, progress.sent_before), (1, 1));
    assert_eq!(log.records(DEAD).len(), 1_200);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_does_not_take_is_sent_by_the_next_run() {
    let log = log_of_dead(30).await;
    log.refuse(|record| {
        let refused = record.topic == BACK && record.value.as_deref() == Some(b"17");
        refused.then(|| Error::Unavailable("full".into()))
    });
    let (progress, ended) = send(&log, &all(), |_| true).await;
    assert!(ended.is_err());
    assert_eq!(progress.sent, 29);
    log.take_everything();
    let progress = send_all(&log).await;
    assert_eq!((progress.sent, progress.sent_before), (1, 29));
    let once: BTreeSet<String> = values(&log, BACK).into_iter().collect();
    assert_eq!((once.len(), log.records(BACK).len()), (30, 30));
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_and_whoever_stops_goes_on_later() {
    let log = log_of_dead(100).await;
    let slow = Options {
        rate_per_second: 10,
        ..all()
    };
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let (log, cancel, slow) = (Arc::clone(&log), cancel.clone(), slow.clone());
        async move {
            let mut progress = Redriven::default();
            let place = Place::of_group("a", GROUP);
            let log = Handle(log);
            let ended = redrive(&log, &place, &slow, |_| true, &cancel, &mut progress).await;
            ended.map(|()| progress)
        }
    });
    until("some are sent", || log.records(BACK).len() >= 10).await;
    cancel.cancel();
    let progress = running.await.unwrap().unwrap();
    assert!(progress.stopped);
    assert_eq!(log.records(BACK).len() as u64, progress.sent);
    assert!(progress.sent < 100);

    let started = tokio::time::Instant::now();
    let (rest, _) = send(&log, &slow, |_| true).await;
    assert_eq!(rest.sent + progress.sent, 100);
    let least = (rest.sent - 1) / 10;
    assert!(
        started.elapsed().as_secs() >= least,
        "{:?}",
        started.elapsed()
    );
}
