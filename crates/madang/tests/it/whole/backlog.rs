//! Events that wait for the log are bounded: a full outbox refuses orders, loudly, and takes them again once it drains.

use anyhow::ensure;
use serde_json::Value;
use testkit::eventually;

use super::stage::{PATIENCE, Stage, one_line, order};
use crate::on_both;

on_both!(
    a_full_outbox_refuses_orders_until_it_drains,
    what_waits_in_the_outbox_is_listed,
);

async fn a_full_outbox_refuses_orders_until_it_drains(stage: Stage) {
    let stage = stage
        .env("MADANG_OUTBOX__EVENTS_MAX", "12")
        .env("MADANG_OUTBOX__DEPTH_MS", "20");
    stage.seed(1, 1, 1_000, 0, 1).await;
    let alone = stage.settings.clone().arg("--role").arg("api");
    let mut shop = alone.start().await.expect("the shop without a relay");
    let client = shop.client();
    let refused = eventually(PATIENCE, "the outbox is full", async || {
        let answer = client.post("/api/orders", &one_line(1, 1, 1)).await?;
        ensure!(answer.status == 503, "{}", answer.text);
        Ok(answer)
    })
    .await;
    assert_eq!(refused.json["code"], "overloaded");
    assert!(!refused.header("retry-after").is_empty());
    let metrics = client.get("/metrics").await.unwrap().expect(200);
    assert!(metrics.text.contains("madang_outbox_full 1"));
    assert_eq!(shop.stop().await.expect("it stops"), 0);

    let shop = stage.settings.start().await.expect("the shop with a relay");
    let client = shop.client();
    eventually(PATIENCE, "orders are taken again", async || {
        let answer = client.post("/api/orders", &one_line(1, 1, 1)).await?;
        ensure!(answer.status == 201, "{}", answer.text);
        Ok(())
    })
    .await;
    stage.audit().await;
}

async fn what_waits_in_the_outbox_is_listed(stage: Stage) {
    stage.seed(1, 1, 1_000, 0, 1).await;
    let settings = &stage.settings;
    let nothing = settings.run(&["outbox", "list"]).await.expect("the list");
    assert_eq!(nothing.stdout.trim(), "nothing waits", "{nothing:?}");
    let alone = settings.clone().arg("--role").arg("api");
    let mut shop = alone.start().await.expect("the shop without a relay");
    for _ in 0..3 {
        order(&shop.client(), 1, 1, 1).await;
    }
    let listed = settings.run(&["outbox", "list", "--limit", "4", "--json"]);
    let listed = listed.await.expect("the list");
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let topics = listed["topics"].as_array().expect("topics");
    let counts: Vec<&Value> = topics.iter().map(|topic| &topic["events"]).collect();
    assert_eq!(counts, [3, 3, 3], "{listed}");
    let oldest = listed["oldest"].as_array().expect("events");
    assert_eq!(oldest.len(), 4);
    assert_eq!(oldest[0]["topic"], stage.topic("product-ranking-topic"));
    assert_eq!(oldest[0]["type"], "product.sold");
    assert_eq!(oldest[0]["payload"]["productId"], 1);
    let said = settings.run(&["outbox", "list"]).await.expect("the list");
    let line = format!(
        "{}: 3 wait, the oldest since 20",
        stage.topic("order-completed-topic")
    );
    assert!(said.stdout.contains(&line), "{said:?}");
    assert_eq!(shop.stop().await.expect("it stops"), 0);
    let _shop = settings.start().await.expect("the shop with a relay");
    stage.audit().await;
    let nothing = settings.run(&["outbox", "list"]).await.expect("the list");
    assert_eq!(nothing.stdout.trim(), "nothing waits", "{nothing:?}");
}
