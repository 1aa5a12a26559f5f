//! Group commit on a store that a test plays: who is committed with whom, who fails with whom, and when the queue is full.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinHandle;

use super::lines;
use super::played::{Played, orders};
use crate::answer::{Answered, StoreError};
use crate::order::{Error, Orders, Settings};

async fn order(orders: &Orders, by: i64) -> Result<Answered, Error> {
    let lines = lines(&[(1, 1)]);
    orders.place(super::user(by), lines, None, None, None).await
}

fn one_at_a_time() -> Settings {
    Settings {
        batches_in_flight: 1,
        batch_max: 8,
        ..Settings::default()
    }
}

/// Closes the store's gate, lets user 1 be the batch before it, then asks for users `2..=last` in turn. Their answers.
async fn behind_a_closed_gate(
    store: &Arc<Played>,
    orders: &Arc<Orders>,
    last: i64,
) -> Vec<Result<Answered, Error>> {
    store.gate.forget_permits(usize::MAX);
    let waiting = in_turn(orders, last).await;
    store.gate.add_permits(1_000);
    let answers = futures::future::join_all(waiting).await;
    answers.into_iter().map(|a| a.unwrap()).collect()
}

/// Users `1..=last` ask. Each has handed its order in, and the first its batch, before the next comes.
async fn in_turn(orders: &Arc<Orders>, last: i64) -> Vec<JoinHandle<Result<Answered, Error>>> {
    let mut waiting = Vec::new();
    for by in 1..=last {
        let orders = orders.clone();
        waiting.push(tokio::spawn(async move { order(&orders, by).await }));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    waiting
}

#[tokio::test]
async fn who_waits_together_is_committed_together() {
    let store = Played::open();
    let orders = orders(store.clone(), one_at_a_time());
    let answers = behind_a_closed_gate(&store, &orders, 12).await;
    assert!(answers.iter().all(Result::is_ok));
    let batches = store.batches.lock().clone();
    assert_eq!(batches[0], [1], "an order alone waits for nobody");
    assert_eq!(batches[1], (2..=9).collect::<Vec<_>>());
    assert_eq!(batches[2], [10, 11, 12]);
}

#[tokio::test]
async fn a_batch_begins_once_the_one_before_it_waits_for_its_commit_alone() {
    for (passes, first) in [(false, vec![1]), (true, vec![1, 2])] {
        let store = Played::open();
        store.passes.store(passes, Ordering::Relaxed);
        let settings = Settings {
            batches_in_flight: 2,
            batches_before_commit: 1,
            ..Settings::default()
        };
        let orders = orders(store.clone(), settings);
        store.gate.forget_permits(usize::MAX);
        let waiting = in_turn(&orders, 3).await;
        assert_eq!(store.batches.lock().concat(), first, "passes: {passes}");
        store.gate.add_permits(1_000);
        let answers = futures::future::join_all(waiting).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))));
        assert_eq!(store.batches.lock().concat(), [1, 2, 3]);
    }
}

#[tokio::test]
async fn an_unexpected_error_is_one_orders_own() {
    let store = Played::open();
    *store.fault.lock() = Some((6, StoreError::Failed("a defect".into())));
    let orders = orders(store.clone(), one_at_a_time());
    let answers = behind_a_closed_gate(&store, &orders, 9).await;
    for (by, answer) in (1..).zip(&answers) {
        match answer {
            Ok(_) => assert_ne!(by, 6),
            Err(Error::Store(StoreError::Failed(_))) => assert_eq!(by, 6),
            Err(other) => panic!("{other:?}"),
        }
    }
    let batches = store.batches.lock()[1..].to_vec();
    let halves: [&[i64]; 7] = [
        &[2, 3, 4, 5, 6, 7, 8, 9],
        &[2, 3, 4, 5],
        &[6, 7, 8, 9],
        &[6, 7],
        &[6],
        &[7],
        &[8, 9],
    ];
    assert_eq!(batches, halves);
}

#[tokio::test]
async fn a_store_that_is_away_is_away_for_all() {
    let store = Played::open();
    *store.fault.lock() = Some((3, StoreError::Unavailable("gone".into())));
    let orders = orders(store.clone(), one_at_a_time());
    let answers = behind_a_closed_gate(&store, &orders, 5).await;
    assert!(answers[0].is_ok());
    let unavailable =
        |a: &Result<Answered, Error>| matches!(a, Err(Error::Store(StoreError::Unavailable(_))));
    assert!(answers[1..].iter().all(unavailable), "{answers:?}");
    assert_eq!(store.batches.lock().len(), 2, "not halved");
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let store = Played::open();
    let settings = Settings {
        queue_max: 3,
        ..one_at_a_time()
    };
    let orders = orders(store.clone(), settings);
    let answers = behind_a_closed_gate(&store, &orders, 6).await;
    let overloaded = answers
        .iter()
        .map(|a| matches!(a, Err(Error::Overloaded)))
        .collect::<Vec<_>>();
    assert_eq!(overloaded, [false, false, false, false, true, true]);
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up() {
    let store = Played::open();
    store.gate.forget_permits(usize::MAX);
    let settings = Settings {
        batch_timeout_ms: 1,
        ..one_at_a_time()
    };
    let orders = orders(store.clone(), settings);
    let answer = order(&orders, 1).await;
    assert!(
        matches!(answer, Err(Error::Store(StoreError::OutcomeUnknown(_)))),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ids_follow_the_order_of_arrival() {
    let settings = Settings {
        batches_in_flight: 8,
        batch_max: 1,
        ..Settings::default()
    };
    let orders = orders(Played::open(), settings);
    let asked = (1..=400).map(|by| order(&orders, by));
    let answers = futures::future::join_all(asked).await;
    let id = |answer: &Result<Answered, Error>| match answer {
        Ok(Answered::Fresh(answer)) => {
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            body["id"].as_i64().unwrap()
        }
        other => panic!("{other:?}"),
    };
    let ids: Vec<i64> = answers.iter().map(id).collect();
    assert_eq!(ids, (1..=400).collect::<Vec<_>>());
}
