//! Random scripts of trouble, and what must hold after each: every event has its effect, nothing is lost on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use messaging::consumer::{Outcome, Retry, Settings, Verdict};
use messaging::log::Error;
use messaging::record::TopicPartition;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::fake_log::FakeLog;
use crate::fake_store::{FakeStore, event, packed};
use crate::relaying;
use crate::shop::{Shop, done, each, failure, settings, until};

fn virtual_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

/// What a handler says of a record, delivery by delivery; done once the list is at its end.
fn scripts() -> impl Strategy<Value = BTreeMap<i64, Vec<u8>>> {
    prop::collection::btree_map(0_i64..60, prop::collection::vec(0_u8..3, 1..6), 0..20)
}

struct World {
    scripts: BTreeMap<i64, Vec<u8>>,
    moods: Vec<u8>,
    done: BTreeSet<String>,
}

impl World {
    fn verdict(&mut self, batch: &[messaging::consumer::Event]) -> Verdict {
        match self.moods.pop() {
            Some(0) => return Verdict::RetryAll(failure()),
            Some(1) => return Verdict::Rewind { offset: 0 },
            Some(2) if batch.len() > 1 => return Verdict::Suspect(failure()),
            _ => {}
        }
        each(batch, |event| {
            let value = String::from_utf8(event.record.value.clone().unwrap().to_vec()).unwrap();
            let script = self.scripts.entry(value.parse().unwrap()).or_default();
            match script.pop() {
                Some(0) => Outcome::retry(failure()),
                Some(1) => Outcome::Dead(failure()),
                _ => {
                    self.done.insert(value);
                    Outcome::Done
                }
            }
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_record_is_done_or_dead(
        scripts in scripts(),
        moods in prop::collection::vec(0_u8..12, 0..40),
        refusals in prop::collection::vec(any::<bool>(), 0..40),
        revokes in prop::collection::vec(0_u64..3_000, 0..4),
        topics in any::<bool>(),
    ) {
        virtual_time(async move {
            let log = FakeLog::new(&[("a", 1), ("a-g-retry-1000", 1), ("a-g-retry-5000", 1), ("a-g-dlt", 1)]);
            log.fill("a", 0, 60);
            let mut refusals = refusals;
            log.refuse(move |_| refusals.pop().unwrap_or(false).then(|| Error::Unavailable("away".into())));
            let world = Arc::new(Mutex::new(World { scripts, moods, done: BTreeSet::new() }));
            let retry = match topics {
                true => Retry::Topics { delays_ms: vec![1_000, 5_000] },
                false => Retry::in_place(Some(4)),
            };
            let shop = Shop::open(&log, Settings { retry, ..settings() }, {
                let world = Arc::clone(&world);
                move |batch| world.lock().verdict(batch)
            });
            let mine = [TopicPartition::new("a", 0)];
            for wait in revokes {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                log.revoke(&mine).await.unwrap();
                log.assign(&mine);
            }
            let expected: BTreeSet<String> = (0..60).map(|n| n.to_string()).collect();
            until("every record is done or dead", || {
                let mut ended = world.lock().done.clone();
                ended.extend(log.records("a-g-dlt").into_iter().map(|record| {
                    String::from_utf8(record.value.unwrap().to_vec()).unwrap()
                }));
                ended == expected
            })
            .await;
            for topic in ["a", "a-g-retry-1000", "a-g-retry-5000"] {
                if topics || topic == "a" {
                    shop.committed(topic, 0, log.records(topic).len() as i64).await;
                }
            }
            shop.close().await;
        });
    }

    /// A commit never runs ahead of the effects, whenever the process dies.
    #[test]
    fn a_commit_is_never_ahead_of_the_effects(
        scripts in scripts(), life in 0_u64..2_000, moods in prop::collection::vec(0_u8..12, 0..20),
    ) {
        virtual_time(async move {
            let log = FakeLog::new(&[("a", 1), ("a-g-dlt", 1)]);
            log.fill("a", 0, 60);
            let world = Arc::new(Mutex::new(World { scripts, moods, done: BTreeSet::new() }));
            let shop = Shop::open(&log, settings(), {
                let world = Arc::clone(&world);
                move |batch| world.lock().verdict(batch)
            });
            tokio::time::sleep(Duration::from_millis(life)).await;
            shop.running.abort();
            let _ = shop.running.await;
            let mut ended = world.lock().done.clone();
            ended.extend(log.records("a-g-dlt").into_iter().map(|record| {
                String::from_utf8(record.value.unwrap().to_vec()).unwrap()
            }));
            for offset in 0..log.committed_at("g", "a", 0) {
                assert!(ended.contains(&offset.to_string()), "{offset}");
            }
            let shop = Shop::open(&log, settings(), done);
            shop.committed("a", 0, 60).await;
            shop.close().await;
        });
    }

    /// Whatever fails and whenever the relay dies: a row is gone only if its record is there, and in the end all are.
    #[test]
    fn no_row_is_lost_on_its_way(
        count in 0_usize..120,
        refusals in prop::collection::vec(0_u8..6, 0..200),
        trouble in prop::collection::vec(any::<bool>(), 0..60),
        lives in prop::collection::vec(0_u64..4_000, 0..4),
        thefts in prop::collection::vec(0_u64..3_000, 0..3),
        a_row in 1_usize..6,
    ) {
        virtual_time(async move {
            let log = FakeLog::new(&[("a", 1), ("a-outbox-dlt", 1)]);
            let rows = packed((0..count).map(event), a_row);
            let store = FakeStore::with(rows.clone());
            let (mut refusals, mut trouble) = (refusals, trouble);
            log.refuse(move |_| match refusals.pop() {
                Some(0) => Some(Error::Unavailable("away".into())),
                Some(1) => Some(Error::Refused("no".into())),
                _ => None,
            });
            store.fail(move |_| trouble.pop().unwrap_or(false));
            let check = || {
                let mut there = log.records("a");
                there.extend(log.records("a-outbox-dlt"));
                let there: BTreeSet<String> = there.iter().filter_map(|r| r.headers.text("ce_id").map(Into::into)).collect();
                for row in &rows {
                    let all = row.events.iter().all(|event| there.contains(&event.id.to_string()));
                    assert!(store.holds(row.id) || all, "{row:?} is lost");
                }
            };
            for life in lives {
                let (_, running) = relaying::start(relaying::relay(&log, &store, relaying::settings()));
                tokio::time::sleep(Duration::from_millis(life)).await;
                running.abort();
                let _ = running.await;
                check();
            }
            let (cancel, running) = relaying::start(relaying::relay(&log, &store, relaying::settings()));
            for wait in thefts {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                store.steal(0, Duration::from_millis(wait));
            }
            until("the outbox is empty", || store.rows() == 0).await;
            check();
            cancel.cancel();
            running.await.unwrap();
        });
    }
}
