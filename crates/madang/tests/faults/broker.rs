//! Row "broker down": orders and joins go on without Kafka; what they leave behind is drained soon after its return.
//! The embedded log cannot be away without the shop's own file, so this row is for Kafka alone.

use std::time::{Duration, Instant};

use crate::ground;
use crate::load::{Load, Plan};
use crate::settle::{Places, check};

/// From the broker's return until every event has had its effect.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

/// Row: broker down. About 35 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_seconds_without_a_broker_on_kafka_mysql_redis() {
    outage("broker-10", Duration::from_secs(10), Plan::STEADY).await;
}

/// Row: broker down for 60 s. About 170 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about 170 s: full run"]
async fn a_minute_without_a_broker_on_kafka_mysql_redis() {
    outage("broker-60", Duration::from_secs(60), Plan::LONG).await;
}

async fn outage(name: &str, lasts: Duration, plan: Plan) {
    let Some((stage, mut kafka)) = ground::own_kafka(name).await else {
        return;
    };
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, plan);
    load.more_orders(20).await;

    kafka.kill().expect("the broker is killed");
    let (down, held) = (Instant::now(), tokio::time::sleep(lasts));
    load.more_orders(40).await;
    load.more_places(10).await;
    let ready = client.get("/readyz").await.expect("an answer");
    assert_eq!(ready.status, 200, "orders need no broker: {}", ready.text);
    held.await;
    let up = Instant::now();
    kafka.restart().await.expect("the broker is back");
    let back = Instant::now();
    load.more_orders(10).await;
    let journal = load.stop().await;
    stage.audit().await;
    let drained = back.elapsed();
    assert!(drained <= DRAINED_WITHIN, "drained after {drained:?}");

    let put_off = journal.orders_put_off(down, up);
    assert_eq!(put_off, 0, "orders that were put off for want of a broker");
    let placed = journal.order_times(down, up).len();
    println!("{placed} orders without a broker; drained {drained:?} after its return");
    check(&stage, &client, journal, Places::Kept).await;
}
