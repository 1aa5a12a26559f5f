//! Top-ups, balances, the ledger; and the words that clients of the shop before this one send and read.

use serde_json::json;

use super::stage::{Stage, balance, one_line};
use crate::on_both;

on_both!(
    a_wallet_is_topped_up_and_tells_its_story,
    top_ups_and_orders_at_one_instant_lose_nothing,
);

async fn a_wallet_is_topped_up_and_tells_its_story(stage: Stage) {
    let shop = stage.open(1, 1, 10).await;
    let client = shop.client();
    // Old clients: the user in the query, the body without it.
    let charged = client
        .post(
            "/api/users/balance/charge?userId=500",
            &json!({"amount": 7_000}),
        )
        .await
        .unwrap()
        .expect(200);
    assert_eq!(
        charged.json,
        json!({"userId": 500, "chargeAmount": 7_000, "balanceAfterCharge": 7_000})
    );
    client
        .post("/api/orders", &one_line(500, 1, 3))
        .await
        .unwrap()
        .expect(201);
    let shown = client
        .get("/api/users/balance?userId=500")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(shown.json, json!({"userId": 500, "balance": 4_000}));
    let history = client
        .get("/api/users/balance/history?userId=500")
        .await
        .unwrap()
        .expect(200);
    let entries: Vec<(i64, i64)> = history.json["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|e| {
            let number = |name: &str| e[name].as_i64().expect("a number");
            (number("amount"), number("balanceAfter"))
        })
        .collect();
    assert_eq!(entries, [(-3_000, 4_000), (7_000, 7_000)]);
    for amount in [
        json!(0),
        json!(-1),
        json!(1_000_001),
        json!(1.5),
        json!("9"),
        json!(null),
    ] {
        let refused = client
            .post(
                "/api/users/balance/charge",
                &json!({"userId": 500, "amount": amount}),
            )
            .await
            .unwrap()
            .expect(400);
        assert_eq!(refused.json["errors"][0]["pointer"], "/amount");
    }
    assert_eq!(balance(&client, 500).await, 4_000);
    stage.audit().await;
}

async fn top_ups_and_orders_at_one_instant_lose_nothing(stage: Stage) {
    let shop = stage.open(1, 1, 1_000).await;
    let client = shop.client();
    let mut asks = tokio::task::JoinSet::new();
    for n in 0..90_u32 {
        let client = client.clone();
        asks.spawn(async move {
            if n % 3 == 0 {
                client.post("/api/orders", &one_line(1, 1, 1)).await
            } else {
                let body = json!({"userId": 1, "amount": 10});
                client.post("/api/users/balance/charge", &body).await
            }
        });
    }
    for answer in asks.join_all().await {
        let answer = answer.expect("an answer");
        assert!(
            answer.status == 200 || answer.status == 201,
            "{}",
            answer.text
        );
    }
    assert_eq!(balance(&client, 1).await, 1_000_000 + 60 * 10 - 30 * 1_000);
    stage.audit().await;
}
