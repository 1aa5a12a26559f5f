//! Rows "Redis down", "Redis restarted with its data lost" and "with its data of two seconds ago": orders do not notice, joins are
//! put off, boards come from the database and are rebuilt, and no number is given twice.
//! The embedded queue and boards lie in the shop's own database, so these rows are for Redis alone.

use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::{Client, eventually};

use crate::ground;
use crate::load::{Journal, Load, Plan};
use crate::settle::{Places, check};
use crate::whole::stage::PATIENCE;

/// Today's best sellers: answered from wherever they can be had.
async fn sold_today(client: &Client) -> i64 {
    let list = client
        .get("/api/products/popular?window=today&limit=20")
        .await
        .expect("an answer")
        .expect(200);
    let items = list.json.as_array().cloned().unwrap_or_default();
    let sold = items.iter().filter_map(|it| it["soldQuantity"].as_i64());
    sold.sum()
}

/// What every row says of the time without Redis.
async fn without_redis(load: &Load, client: &Client) {
    load.more_orders(30).await;
    load.more_joins_later(5).await;
    eventually(PATIENCE, "the board is told without Redis", async || {
        let sold = sold_today(client).await;
        ensure!(sold > 0, "{sold} sold");
        Ok(())
    })
    .await;
    let ready = client.get("/readyz").await.expect("an answer");
    assert_eq!(ready.status, 200, "orders need no Redis: {}", ready.text);
}

async fn ends(load: Load, down: Instant, up: Instant) -> Journal {
    load.more_orders(10).await;
    load.more_places(10).await;
    let journal = load.stop().await;
    let put_off = journal.orders_put_off(down, up);
    assert_eq!(put_off, 0, "orders that were put off for want of Redis");
    journal
}

/// Row: Redis down, and back with its data. About 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_away_and_comes_back_on_kafka_mysql_redis() {
    let Some((stage, mut redis)) = ground::own_redis("redis-away").await else {
        return;
    };
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_places(20).await;
    redis.kill().expect("killed");
    let down = Instant::now();
    without_redis(&load, &client).await;
    let up = Instant::now();
    redis.restart().await.expect("it is back");
    let journal = ends(load, down, up).await;
    // Another run of the server: what it kept is renumbered in order, so places are not compared.
    check(&stage, &client, journal, Places::Lost).await;
}

/// Row: Redis restarted with its data lost. About 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_empty_on_kafka_mysql_redis() {
    let Some((stage, mut redis)) = ground::own_redis("redis-wiped").await else {
        return;
    };
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_places(20).await;
    redis.kill().expect("killed");
    let down = Instant::now();
    without_redis(&load, &client).await;
    let up = Instant::now();
    redis.restart_wiped().await.expect("it is back, empty");
    let journal = ends(load, down, up).await;
    check(&stage, &client, journal, Places::Lost).await;
}

/// Row: Redis restarted with its data of two seconds ago. About 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_two_seconds_old_on_kafka_mysql_redis() {
    let Some((stage, mut redis)) = ground::own_redis("redis-old").await else {
        return;
    };
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_places(20).await;
    redis.keep_copy().expect("a copy");
    let old = tokio::time::sleep(Duration::from_secs(2));
    // What is lost must be something.
    load.more_places(10).await;
    old.await;
    let down = Instant::now();
    redis.restart_from_copy().await.expect("it is back, older");
    let journal = ends(load, down, Instant::now()).await;
    check(&stage, &client, journal, Places::Lost).await;
}
