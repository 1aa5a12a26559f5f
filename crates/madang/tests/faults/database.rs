//! Rows "database restarted, COMMIT answer lost" and "deadlocks, lock timeouts". Nobody is told what is not so, and whoever was
//! told nothing learns the truth with the same key.
//! Towards an embedded database there is no connection to lose, and one writer cannot deadlock: these rows are for MariaDB.

use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::{Catch, Faults, MariaDb, Proxy, ShopProcess, eventually};

use crate::ground::{self, counted};
use crate::load::{Load, Plan, ask};
use crate::settle::{Places, check};
use crate::whole::stage::{PATIENCE, Stage, balance, one_line};

/// Row: database killed with kill -9 and restarted. About 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_killed_and_comes_back_on_kafka_mysql_redis() {
    let Some((stage, mut mariadb)) = ground::own_mariadb("database-killed").await else {
        return;
    };
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(60).await;
    mariadb.kill().expect("killed");
    eventually(PATIENCE, "the shop says that it is not ready", async || {
        let ready = client.get("/readyz").await?;
        ensure!(ready.status == 503, "{}", ready.text);
        Ok(())
    })
    .await;
    mariadb.restart().await.expect("it is back");
    let back = Instant::now();
    load.more_orders(60).await;
    println!("60 orders {:?} after its return", back.elapsed());
    let journal = load.stop().await;
    check(&stage, &client, journal, Places::Kept).await;
}

/// A shop behind a proxy whose ids are reserved, so that the next COMMIT after an INSERT of orders is an order's.
async fn behind_proxy(name: &str) -> Option<(Stage, Proxy, ShopProcess)> {
    let (stage, proxy) = ground::proxied_mariadb(name).await?;
    let shop = ground::open(&stage).await;
    let first = one_line(390, 1, 1);
    let first = ask(&shop.client(), "/api/orders", "first", &first).await;
    first.expect("an answer").expect(201);
    Some((stage, proxy, shop))
}

const INSERTED: &[u8] = b"INSERT INTO orders (";
/// The command byte and the text of a query packet.
const COMMIT: &[u8] = b"\x03COMMIT";

/// Row: COMMIT answer lost. About 8 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_settled_on_kafka_mysql_redis() {
    let Some((stage, proxy, shop)) = behind_proxy("commit-lost").await else {
        return;
    };
    let client = shop.client();
    for n in 0..5 {
        let trap = proxy.arm(INSERTED, COMMIT, Catch::LoseAnswer);
        let key = format!("lost-{n}");
        let body = one_line(2, 2, 1);
        let told = ask(&client, "/api/orders", &key, &body).await;
        let told = told.expect("an answer").expect(201);
        assert!(trap.has_sprung(), "the answer was not lost");
        let again = ask(&client, "/api/orders", &key, &body).await;
        let again = again.expect("an answer").expect(201);
        assert_eq!(again.text, told.text);
        assert_eq!(again.header("idempotent-replayed"), "true");
    }
    assert_eq!(balance(&client, 2).await, 1_000_000 - 5 * 1_000);
    stage.audit().await;
}

/// Row: COMMIT answer lost, the old transaction still committing while the shop asks again. About 8 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_still_on_its_way_is_waited_for_on_kafka_mysql_redis() {
    let Some((stage, proxy, shop)) = behind_proxy("commit-held").await else {
        return;
    };
    let client = shop.client();
    let trap = proxy.arm(INSERTED, COMMIT, Catch::Hold);
    let body = one_line(3, 2, 1);
    let asking = {
        let (client, body) = (client.clone(), body.clone());
        tokio::spawn(async move { ask(&client, "/api/orders", "held", &body).await })
    };
    trap.sprung().await;
    // The shop's connection is gone, its transaction is not: it holds its locks, and the shop asks on another connection.
    waits_for_a_lock(&stage).await;
    assert!(!asking.is_finished(), "answered before it could be known");
    trap.release();
    trap.answered().await;
    let told = asking.await.expect("no panic").expect("an answer");
    let told = told.expect(201);
    let again = ask(&client, "/api/orders", "held", &body).await;
    let again = again.expect("an answer").expect(201);
    assert_eq!(again.text, told.text);
    assert_eq!(balance(&client, 3).await, 1_000_000 - 1_000);
    stage.audit().await;
}

/// Row: COMMIT answer lost, and the database out of reach since. About 15 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_cannot_be_known_is_said_to_be_so_on_kafka_mysql_redis() {
    let Some((stage, proxy, shop)) = behind_proxy("commit-unknown").await else {
        return;
    };
    let client = shop.client();
    let trap = proxy.arm(INSERTED, COMMIT, Catch::Hold);
    let body = one_line(4, 2, 1);
    let asking = {
        let (client, body) = (client.clone(), body.clone());
        tokio::spawn(async move { ask(&client, "/api/orders", "unknown", &body).await })
    };
    trap.sprung().await;
    proxy.set(Faults {
        refused: true,
        ..Faults::default()
    });
    // Held connections die with this, the server then rolls back: the truth will be that nothing happened.
    proxy.cut();
    let told = asking.await.expect("no panic").expect("an answer");
    let told = told.expect(503);
    assert_eq!(told.json["code"], "outcome-unknown", "{}", told.text);
    proxy.heal();
    let truth = eventually(PATIENCE, "a repeat is told the truth", async || {
        let again = ask(&client, "/api/orders", "unknown", &body).await?;
        ensure!(again.status == 201, "{} {}", again.status, again.text);
        Ok(again)
    })
    .await;
    assert_ne!(truth.header("idempotent-replayed"), "true");
    assert_eq!(balance(&client, 4).await, 1_000_000 - 1_000);
    stage.audit().await;
}

/// Returns when a transaction of the stage's database waits for another's lock.
async fn waits_for_a_lock(stage: &Stage) {
    let mariadb = testkit::shared::mariadb().await.expect("it runs");
    let name = database_name(stage);
    // The server answers from a copy for as long as it is asked more often than every 100 ms, so it waits before it looks.
    let sql = format!(
        "DO SLEEP(0.2);
         SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p
         ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = '{name}'"
    );
    eventually(PATIENCE, "the shop waits for the lock", async || {
        let waiting = mariadb.execute(&sql).await?;
        ensure!(waiting.trim() != "0", "nobody waits");
        Ok(())
    })
    .await;
}

fn database_name(stage: &Stage) -> String {
    let set = stage.settings.command();
    let url = set
        .get_envs()
        .find(|(name, _)| *name == "MADANG_DATABASE__URL");
    let url = url.and_then(|(_, value)| value).expect("it is set");
    let url = url.to_string_lossy();
    url.rsplit('/').next().expect("a name").to_owned()
}

/// Row: deadlocks and lock timeouts. About 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocks_and_lock_timeouts_are_tried_again_on_kafka_mysql_redis() {
    let Some((stage, mariadb)) = ground::own_mariadb("locks").await else {
        return;
    };
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let name = database_name(&stage);
    let scratch = format!("CREATE TABLE `{name}`.scratch (n INT PRIMARY KEY)");
    mariadb.execute(&scratch).await.expect("a table");

    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(20).await;
    let deadlocks = against_the_order(&mariadb, &name, &shop).await;
    load.more_orders(20).await;
    let before = counted(&shop, RETRIES).await;
    // The shop waits 10 s for a lock.
    let held = format!(
        "START TRANSACTION; SELECT id FROM `{name}`.products FORCE INDEX (PRIMARY) FOR UPDATE; SELECT SLEEP(12); ROLLBACK"
    );
    mariadb.execute(&held).await.expect("locks held");
    let timeouts = counted(&shop, RETRIES).await - before;
    assert!(timeouts > 0.0, "nothing met a lock timeout");
    load.more_orders(20).await;
    println!("{deadlocks} transactions tried again on deadlocks, {timeouts} on lock timeouts");
    let journal = load.stop().await;
    check(&stage, &client, journal, Places::Kept).await;
}

const RETRIES: &str = "madang_database_transaction_retries_total";

/// Locks products from the last to the first, again and again, until the shop has been a victim. The other
/// has written much more: InnoDB gives up whoever has done less.
async fn against_the_order(mariadb: &MariaDb, name: &str, shop: &ShopProcess) -> f64 {
    let victims = "SELECT variable_value FROM information_schema.global_status
        WHERE variable_name = 'innodb_deadlocks'";
    let until = Instant::now() + PATIENCE;
    let before = counted(shop, RETRIES).await;
    let began: f64 = number(mariadb, victims).await;
    loop {
        let backwards = format!(
            "USE `{name}`; START TRANSACTION; INSERT INTO scratch SELECT seq FROM seq_1_to_3000;
             SELECT id FROM products FORCE INDEX (PRIMARY) WHERE id = 5 FOR UPDATE; SELECT SLEEP(0.1);
             SELECT id FROM products FORCE INDEX (PRIMARY) WHERE id = 1 FOR UPDATE; ROLLBACK"
        );
        // One that is given up itself, or waits too long, is no matter: there is another.
        let _ = tokio::time::timeout(PATIENCE, mariadb.execute(&backwards)).await;
        let deadlocks = number(mariadb, victims).await - began;
        let retried = counted(shop, RETRIES).await - before;
        if deadlocks > 0.0 && retried > 0.0 {
            return retried;
        }
        assert!(
            Instant::now() < until,
            "{deadlocks} deadlocks, {retried} tried again"
        );
    }
}

async fn number(mariadb: &MariaDb, sql: &str) -> f64 {
    let text = mariadb.execute(sql).await.expect("an answer");
    text.trim().parse().expect("a number")
}

/// Row: the way to the database is slow, then swallows everything for a while. About 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_and_a_black_hole_before_the_database_on_kafka_mysql_redis() {
    let Some((stage, proxy, shop)) = behind_proxy("black-hole").await else {
        return;
    };
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(20).await;
    proxy.set(Faults {
        to_server: Duration::from_millis(5),
        to_client: Duration::from_millis(5),
        ..Faults::default()
    });
    load.more_orders(20).await;
    proxy.set(Faults {
        blackhole: true,
        ..Faults::default()
    });
    eventually(PATIENCE, "the shop says that it is not ready", async || {
        let ready = client.get("/readyz").await?;
        ensure!(ready.status == 503, "{}", ready.text);
        Ok(())
    })
    .await;
    proxy.heal();
    load.more_orders(20).await;
    let journal = load.stop().await;
    check(&stage, &client, journal, Places::Kept).await;
}
