//! Placing, showing, listing and cancelling orders, and what follows through the events.

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::{Client, eventually};

use super::stage::{PATIENCE, Stage, balance, one_line, order, stock_becomes};
use crate::on_both;

on_both!(
    an_order_is_placed_shown_listed_and_cancelled,
    lines_of_one_product_are_summed,
    boards_statistics_and_platform_follow,
);

async fn an_order_is_placed_shown_listed_and_cancelled(stage: Stage) {
    let shop = stage.open(3, 3, 10).await;
    let client = shop.client();
    let placed = client
        .post(
            "/api/orders",
            &json!({"userId": 1, "orderItems": [
                {"productId": 1, "quantity": 2}, {"productId": 3, "quantity": 1}]}),
        )
        .await
        .unwrap()
        .expect(201);
    let id = placed.json["id"].as_i64().expect("an id");
    assert_eq!(placed.header("location"), format!("/api/orders/{id}"));
    assert_eq!(placed.json["totalAmount"], 3_000);
    assert_eq!(placed.json["discountAmount"], 0);
    assert_eq!(placed.json["discountedAmount"], 3_000);
    assert_eq!(placed.json["status"], "COMPLETED");
    assert_eq!(placed.json["userCouponId"], Value::Null);
    let line = &placed.json["orderItems"][0];
    assert_eq!(line["productId"], 1);
    assert_eq!(line["quantity"], 2);
    assert_eq!(line["unitPrice"], 1_000);
    assert_eq!(line["totalPrice"], 2_000);
    assert_eq!(balance(&client, 1).await, 997_000);
    stock_becomes(&client, 1, 8).await;

    let shown = client
        .get(&format!("/api/orders/{id}?userId=1"))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(shown.json, placed.json);
    let hidden = client
        .get(&format!("/api/orders/{id}?userId=2"))
        .await
        .unwrap();
    assert_eq!(hidden.status, 404, "it is not user 2's");

    newest_first(&client, id).await;
    let cancelled = client
        .post(&format!("/api/orders/{id}/cancel?userId=1"), &json!({}))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(cancelled.json["status"], "CANCELLED");
    assert_eq!(balance(&client, 1).await, 999_000);
    stock_becomes(&client, 1, 10).await;
    let again = client
        .post(&format!("/api/orders/{id}/cancel?userId=1"), &json!({}))
        .await
        .unwrap()
        .expect(409);
    assert_eq!(again.json["code"], "order-already-cancelled");
    stage.audit().await;
}

/// A second order comes before the first, a page of one item each.
async fn newest_first(client: &Client, id: i64) {
    let second = order(client, 1, 2, 1).await;
    let page = client
        .get("/api/users/orders?userId=1&limit=1")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(page.json["items"][0]["id"], second["id"]);
    let cursor = page.json["nextCursor"].as_str().expect("a next page");
    let rest = client
        .get(&format!(
            "/api/users/orders?userId=1&limit=1&cursor={cursor}"
        ))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(rest.json["items"][0]["id"], id);
    assert_eq!(rest.json["nextCursor"], Value::Null);
}

async fn lines_of_one_product_are_summed(stage: Stage) {
    let shop = stage.open(1, 1, 10).await;
    let client = shop.client();
    let two_lines = |quantity: u32| {
        json!({"userId": 1, "orderItems": [
            {"productId": 1, "quantity": quantity}, {"productId": 1, "quantity": quantity}]})
    };
    let refused = client
        .post("/api/orders", &two_lines(6))
        .await
        .unwrap()
        .expect(409);
    assert_eq!(refused.json["code"], "out-of-stock");
    client
        .post("/api/orders", &two_lines(5))
        .await
        .unwrap()
        .expect(201);
    eventually(PATIENCE, "the product is sold out", async || {
        let page = client.get("/api/products/1").await?;
        ensure!(page.json["status"] == "SOLD_OUT", "{}", page.text);
        Ok(())
    })
    .await;
    stage.audit().await;
}

async fn boards_statistics_and_platform_follow(stage: Stage) {
    let shop = stage.open(3, 3, 100).await;
    let client = shop.client();
    order(&client, 1, 2, 5).await;
    order(&client, 2, 2, 2).await;
    order(&client, 2, 1, 3).await;
    let taken_back = order(&client, 3, 3, 9).await;
    client
        .post(
            &format!("/api/orders/{}/cancel?userId=3", taken_back["id"]),
            &json!({}),
        )
        .await
        .unwrap()
        .expect(200);
    let best = |window: &'static str| {
        let client = client.clone();
        async move {
            let list = client
                .get(&format!("/api/products/popular?window={window}&limit=5"))
                .await?
                .expect(200);
            let seen: Vec<(i64, i64, i64)> = list
                .json
                .as_array()
                .into_iter()
                .flatten()
                .map(|b| {
                    let number = |name: &str| b[name].as_i64().unwrap_or(-1);
                    (
                        number("productId"),
                        number("soldQuantity"),
                        number("soldAmount"),
                    )
                })
                .collect();
            ensure!(seen == [(2, 7, 7_000), (1, 3, 3_000)], "{}", list.text);
            Ok(())
        }
    };
    for window in ["today", "3d", "7d", "30d"] {
        eventually(PATIENCE, "the board shows what was sold", || best(window)).await;
    }
    // The taken-back order and its cancel lie on a partition of their own and may come last.
    eventually(PATIENCE, "the second best is second", async || {
        let rank = client.get("/api/products/1/ranking?window=today").await?;
        ensure!(rank.json["rank"] == 2, "{}", rank.text);
        Ok(())
    })
    .await;
    stage.audit().await;
    statistics_agree(&client).await;
    assert_eq!(
        platform_lines(&stage).len(),
        5,
        "four orders and a cancel were transferred"
    );
}

async fn statistics_agree(client: &Client) {
    let hour = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let sales = client
        .get(&format!(
            "/api/stats/sales?from={hour}&to={until}&by=product"
        ))
        .await
        .unwrap()
        .expect(200);
    let two = sales.json["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["productId"] == 2)
        .unwrap_or_else(|| panic!("product 2 is in {}", sales.text));
    assert_eq!(two["quantity"], 7);
    assert_eq!(two["amount"], 7_000);
}

/// The lines of the data platform's files.
fn platform_lines(stage: &Stage) -> Vec<Value> {
    let mut lines = Vec::new();
    let root = stage.settings.folder().join("madang-data/data-platform");
    for day in std::fs::read_dir(root).expect("a folder a day").flatten() {
        if !day.path().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(day.path()).expect("files").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("text");
            lines.extend(
                text.lines()
                    .map(|line| serde_json::from_str(line).expect("a JSON line")),
            );
        }
    }
    lines
}

#[tokio::test]
async fn a_body_without_user_id_is_told_so() {
    let stage = Stage::embedded();
    let shop = stage.open(1, 1, 1).await;
    let mut body = one_line(1, 1, 1);
    body.as_object_mut().expect("an object").remove("userId");
    let refused = shop
        .client()
        .post("/api/orders", &body)
        .await
        .unwrap()
        .expect(400);
    assert_eq!(refused.json["code"], "validation");
}
