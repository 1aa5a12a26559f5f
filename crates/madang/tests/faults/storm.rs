//! Row "10x retry storm": ten times the usual clients, each of which asks again at once when it is put off. The shop sheds what
//! is too much, goes on with what it can do, and is its old self as soon as they are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::Client;
use tokio::task::JoinSet;

use crate::ground;
use crate::load::{Load, Plan, ask};
use crate::on_both;
use crate::settle::{Places, check};
use crate::whole::stage::{Stage, one_line};

on_both!(ten_times_the_clients_are_shed);

const CLIENTS: u64 = 8;
const TIMES: u64 = 10;
/// Between two orders of a client.
const PAUSE: Duration = Duration::from_millis(40);
const MEASURED: Duration = Duration::from_secs(4);
/// Tries of one order before its client turns to the next.
const TRIES: u32 = 5;
/// Of the usual goodput, in the storm and soon after it.
const SHARE: f64 = 0.8;
/// Beside other tests, which take the processor when they like: only that the shop goes on at all.
const SHARE_BESIDE_OTHERS: f64 = 0.1;
const NORMAL_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Orders taken a second.
    goodput: f64,
    shed: u64,
}

/// Row: 10x retry storm, without its figures. About 20 s on each.
async fn ten_times_the_clients_are_shed(stage: Stage) {
    storm(stage, SHARE_BESIDE_OTHERS).await;
}

/// Row: 10x retry storm, measured: run it alone. About 25 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about 25 s and measures: full run, nothing beside it"]
async fn goodput_in_a_retry_storm_embedded() {
    storm(Stage::embedded(), SHARE).await;
}

/// Row: 10x retry storm, measured: run it alone. About 30 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about 30 s and measures: full run, nothing beside it"]
async fn goodput_in_a_retry_storm_on_kafka_mysql_redis() {
    if let Some(stage) = Stage::real("storm").await {
        storm(stage, SHARE).await;
    }
}

async fn storm(stage: Stage, share: f64) {
    let stage = ground::attentive(stage)
        // Fewer at once than the storm brings.
        .env("MADANG_HTTP__CONCURRENCY_MAX", "24");
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::LONG);
    load.more_orders(10).await;
    let usual = orders(&client, CLIENTS, "usual").await;
    let storm = orders(&client, CLIENTS * TIMES, "storm").await;
    let (over, mut round) = (Instant::now(), 0);
    let after = loop {
        round += 1;
        let after = orders(&client, CLIENTS, &format!("after-{round}")).await;
        if after.goodput >= share * usual.goodput || over.elapsed() > NORMAL_WITHIN {
            break after;
        }
    };
    println!("usual {usual:?}, storm {storm:?}, after {after:?} (round {round})");
    assert!(storm.shed > 0, "nothing was shed: no storm");
    for (when, seen) in [("in the storm", storm), ("30 s after it", after)] {
        let got = seen.goodput / usual.goodput;
        assert!(got >= share, "{got:.2} of the usual goodput {when}");
    }
    load.more_orders(10).await;
    let journal = load.stop().await;
    check(&stage, &client, journal, Places::Kept).await;
}

async fn orders(client: &Client, clients: u64, name: &str) -> Seen {
    let stop = Arc::new(AtomicBool::new(false));
    let (taken, shed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut hands = JoinSet::new();
    let begun = Instant::now();
    for hand in 0..clients {
        let (client, stop) = (client.clone(), stop.clone());
        let (taken, shed) = (taken.clone(), shed.clone());
        let name = name.to_owned();
        hands.spawn(async move {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let key = format!("{name}-{hand}-{n}");
                // Users that the journal's hands leave alone.
                let body = one_line(300 + hand % 100 + 1, n % 5 + 1, 1);
                for _ in 0..TRIES {
                    let answer = ask(&client, "/api/orders", &key, &body).await;
                    let answer = answer.expect("an answer");
                    match answer.status {
                        201 => {
                            taken.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        429 | 503 => {
                            assert!(!answer.header("retry-after").is_empty(), "{}", answer.text);
                            shed.fetch_add(1, Ordering::Relaxed);
                        }
                        // Shed after it had been taken in: the first try is still at work.
                        409 => assert_eq!(answer.json["code"], "idempotency-in-flight"),
                        other => panic!("{other}: {}", answer.text),
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    tokio::time::sleep(MEASURED).await;
    let goodput = taken.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    hands.join_all().await;
    Seen {
        goodput,
        shed: shed.load(Ordering::Relaxed),
    }
}
