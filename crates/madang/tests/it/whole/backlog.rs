//! Events that wait for the log are bounded: a full outbox refuses orders, loudly, and takes them again once it drains.

use anyhow::ensure;
use testkit::eventually;

use super::stage::{PATIENCE, Stage, one_line};
use crate::on_both;

on_both!(a_full_outbox_refuses_orders_until_it_drains);

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
