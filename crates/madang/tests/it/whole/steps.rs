//! Step by step between the shop as it was before Kafka and the shop as it is: every follow-up in the request, one, or none.

use anyhow::ensure;
use serde_json::json;
use testkit::eventually;
use wiremock::matchers::{header_exists, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::stage::{PATIENCE, Stage, balance, one_line, order};
use crate::on_both;

on_both!(
    inline_follow_ups_happen_inside_the_request,
    one_step_inline_the_rest_by_events,
    a_failing_platform_fails_the_order_only_when_inline,
);

async fn sold_today(client: &testkit::Client) -> i64 {
    let list = client
        .get("/api/products/popular?window=today")
        .await
        .unwrap()
        .expect(200);
    list.json[0]["soldQuantity"].as_i64().unwrap_or(0)
}

async fn inline_follow_ups_happen_inside_the_request(stage: Stage) {
    let stage = stage.env("MADANG_EVENTS__PUBLISHER", "inline");
    let shop = stage.open(2, 1, 100).await;
    let client = shop.client();
    let placed = order(&client, 1, 1, 4).await;
    order(&client, 2, 1, 2).await;
    client
        .post(
            &format!("/api/orders/{}/cancel?userId=1", placed["id"]),
            &json!({}),
        )
        .await
        .unwrap()
        .expect(200);
    // Read caches may be a second old; nothing else has to happen any more.
    eventually(PATIENCE, "the board shows it", async || {
        let sold = sold_today(&client).await;
        ensure!(sold == 2, "{sold}");
        Ok(())
    })
    .await;
    stage.audit().await;
}

async fn one_step_inline_the_rest_by_events(stage: Stage) {
    let stage = stage.env("MADANG_FOLLOW_UPS__RANKING", "inline");
    let shop = stage.open(2, 1, 100).await;
    let client = shop.client();
    order(&client, 1, 1, 3).await;
    eventually(PATIENCE, "the board shows it", async || {
        let sold = sold_today(&client).await;
        ensure!(sold == 3, "{sold}");
        Ok(())
    })
    .await;
    stage.audit().await;
}

async fn a_failing_platform_fails_the_order_only_when_inline(stage: Stage) {
    let platform = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header_exists("webhook-id"))
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(1)
        .mount(&platform)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&platform)
        .await;
    let stage = stage.env("MADANG_DATA_PLATFORM__URL", platform.uri());
    let inline = stage
        .clone()
        .env("MADANG_FOLLOW_UPS__DATA_PLATFORM", "inline");
    let mut shop = inline.open(1, 1, 10).await;
    let client = shop.client();
    let failed = client
        .post("/api/orders", &one_line(1, 1, 1))
        .await
        .unwrap()
        .expect(503);
    assert_eq!(failed.json["code"], "data-platform-failed");
    assert_eq!(balance(&client, 1).await, 1_000_000);
    order(&client, 1, 1, 1).await;
    assert_eq!(shop.stop().await.unwrap(), 0);

    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(2)
        .with_priority(1)
        .mount(&platform)
        .await;
    let shop = stage.settings.start().await.expect("the shop starts");
    let placed = order(&shop.client(), 1, 1, 1).await;
    let bodies = eventually(
        PATIENCE,
        "the transfer is tried until it is received",
        async || {
            let all = platform.received_requests().await.unwrap_or_default();
            let mine: Vec<_> = all
                .iter()
                .filter(|r| {
                    let body: serde_json::Value =
                        serde_json::from_slice(&r.body).unwrap_or_default();
                    body["orderId"] == placed["id"]
                })
                .map(|r| r.headers["webhook-id"].clone())
                .collect();
            ensure!(mine.len() == 3, "{} tries", mine.len());
            Ok(mine)
        },
    )
    .await;
    assert!(
        bodies.iter().all(|id| *id == bodies[0]),
        "one id for every try"
    );
    stage.audit().await;
}
