//! The audit as an operator meets it: on a shop that is busy, with damage to find, and with boards to mend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use faults::wire;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use stores::sql::{Database, Settings};
use testkit::{Client, Finished};
use tokio::task::JoinSet;

use super::stage::{Stage, one_line, order};
use crate::on_both;

on_both!(
    a_busy_shop_is_audited_without_a_false_alarm,
    boards_are_repaired_and_nothing_else,
);

pub async fn database(stage: &Stage) -> Result<Database> {
    let settings = Settings {
        url: stage.database.clone(),
        ..Settings::default()
    };
    Ok(Database::connect(&settings).await?)
}

pub async fn execute(stage: &Stage, sql: &str) -> Result<()> {
    let database = database(stage).await?;
    let statement = database.statement(sql, vec![]);
    database.writer().execute_raw(statement).await?;
    Ok(())
}

async fn audit(stage: &Stage, arguments: &[&str]) -> Finished {
    let arguments = [&["audit"], arguments].concat();
    stage.settings.run(&arguments).await.expect("audit runs")
}

/// Orders, cancels and joins until told to stop.
async fn shop_away(client: Client, hand: u64, stop: Arc<AtomicBool>) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let placed = client
            .post("/api/orders", &one_line(hand, n % 3 + 1, 1))
            .await
            .expect("an answer");
        if placed.status == 201 && n % 3 == 0 {
            let path = format!("/api/orders/{}/cancel?userId={hand}", placed.json["id"]);
            client.post(&path, &json!({})).await.expect("an answer");
        }
        let path = format!("/api/coupons/1/issue?userId={}", hand * 1_000_000 + n);
        client.post(&path, &json!({})).await.expect("an answer");
    }
}

async fn a_busy_shop_is_audited_without_a_false_alarm(stage: Stage) {
    stage.seed(5, 3, 1_000_000, 1, 1_000_000).await;
    let shop = stage.settings.start().await.expect("the shop starts");
    let stop = Arc::new(AtomicBool::new(false));
    let mut hands = JoinSet::new();
    for hand in 1..=4 {
        hands.spawn(shop_away(shop.client(), hand, stop.clone()));
    }
    for _ in 0..3 {
        audit(&stage, &["--wait", "60"]).await.expect_success();
    }
    // What is wrong is found all the same.
    execute(
        &stage,
        "UPDATE wallets SET balance = balance + 1 WHERE user_id = 5",
    )
    .await
    .expect("damage");
    let found = audit(&stage, &["--wait", "1"]).await;
    stop.store(true, Ordering::Relaxed);
    hands.join_all().await;
    assert_eq!(found.code, 1, "{}", found.stdout);
    assert!(
        found.stdout.contains("wallet of user 5: expected balance"),
        "{}",
        found.stdout
    );
    execute(
        &stage,
        "UPDATE wallets SET balance = balance - 1 WHERE user_id = 5",
    )
    .await
    .expect("mended");
    stage.audit().await;
}

async fn boards_are_repaired_and_nothing_else(stage: Stage) {
    let shop = stage.open(1, 2, 100).await;
    let client = shop.client();
    let placed = order(&client, 1, 1, 3).await;
    stage.audit().await;
    let day = day_of(&stage, &placed);
    match &stage.redis {
        Some(url) => {
            let key = format!("product:ranking:{day}");
            let wrong = wire::command(&["ZINCRBY", &key, "4", "1"]);
            wire::redis(url, &[wrong]).await.expect("damage");
        }
        None => {
            let wrong = "UPDATE ranking_scores SET quantity = quantity + 4 WHERE product_id = 1";
            execute(&stage, wrong).await.expect("damage");
        }
    }
    execute(&stage, "UPDATE products SET stock = stock + 1 WHERE id = 2")
        .await
        .expect("damage that no repair may touch");
    let found = audit(&stage, &[]).await;
    assert_eq!(found.code, 1);
    let named =
        format!("board of {day}, product 1: expected 3 sold for 3000, found 7 sold for 3000");
    assert!(found.stdout.contains(&named), "{}", found.stdout);

    let refused = audit(&stage, &["--repair", "stock"]).await;
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("boards"), "{}", refused.stderr);

    let repaired = audit(&stage, &["--repair", "boards"]).await;
    assert!(
        repaired
            .stdout
            .contains(&format!("repaired board of {day}")),
        "{}",
        repaired.stdout
    );
    assert!(
        !repaired.stdout.contains(", product 1: expected"),
        "{}",
        repaired.stdout
    );
    assert_eq!(repaired.code, 1, "the stock is still wrong");
    assert!(
        repaired
            .stdout
            .contains("product 2: expected stock 100, found stock 101"),
        "{}",
        repaired.stdout
    );
    execute(&stage, "UPDATE products SET stock = stock - 1 WHERE id = 2")
        .await
        .expect("mended");
    stage.audit().await;
}

/// The ranking day of an order, in the shop's time zone.
fn day_of(stage: &Stage, order: &Value) -> String {
    let zone = stage
        .settings
        .value("MADANG_SHOP__TIME_ZONE")
        .expect("a zone");
    let at: jiff::Timestamp = order["createdAt"]
        .as_str()
        .expect("an instant")
        .parse()
        .expect("a time");
    let zone = jiff::tz::TimeZone::get(&zone).expect("a zone");
    at.to_zoned(zone).date().to_string()
}
