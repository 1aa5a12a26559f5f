//! Bad input: a clear problem, never a 500, nothing changed.

use serde_json::{Value, json};
use testkit::{Client, Response};

use super::stage::{Stage, balance};
use crate::on_both;

on_both!(what_does_not_fit_is_told_so);

/// Body of an order, and the pointer that its problem must name.
fn orders_that_do_not_fit() -> Vec<(Value, &'static str)> {
    let line =
        |product: Value, quantity: Value| json!({"productId": product, "quantity": quantity});
    let order = |items: Value| json!({"userId": 1, "orderItems": items});
    vec![
        (
            order(json!([line(json!(1), json!(0))])),
            "/orderItems/0/quantity",
        ),
        (
            order(json!([line(json!(1), json!(-1))])),
            "/orderItems/0/quantity",
        ),
        (
            order(json!([line(json!(1), json!(1_001))])),
            "/orderItems/0/quantity",
        ),
        (
            order(json!([line(json!(1), json!(1.5))])),
            "/orderItems/0/quantity",
        ),
        (
            order(json!([line(json!(1), json!("2"))])),
            "/orderItems/0/quantity",
        ),
        (
            order(json!([line(json!(1), json!(1)), line(json!(0), json!(1))])),
            "/orderItems/1/productId",
        ),
        (
            order(json!([line(json!(9_007_199_254_740_992_i64), json!(1))])),
            "/orderItems/0/productId",
        ),
        (
            order(json!([line(json!(1e300), json!(1))])),
            "/orderItems/0/productId",
        ),
        (order(json!([])), "/orderItems"),
        (order(json!([[1, 1]])), "/orderItems/0"),
        (order(json!([{"productId": 1}])), "/orderItems/0/quantity"),
        (json!([1, [{"productId": 1, "quantity": 1}], null]), ""),
        (json!("an order"), ""),
        (json!({"userId": 1}), "/orderItems"),
        (order(json!({"productId": 1})), "/orderItems"),
        (
            order(Value::Array(vec![line(json!(1), json!(1)); 101])),
            "/orderItems",
        ),
        (
            json!({"userId": -3, "orderItems": [line(json!(1), json!(1))]}),
            "/userId",
        ),
        (
            json!({"userId": 1, "userCouponId": "x", "orderItems": [line(json!(1), json!(1))]}),
            "/userCouponId",
        ),
    ]
}

fn is_a_problem(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.json["code"].is_string(), "{}", answer.text);
    assert!(
        !answer.json["message"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
}

/// Fields that an operator mistyped are not ignored, and bounds are told in words.
async fn nothing_else_is_taken_for_it(client: &Client) {
    let changed = client
        .send(
            reqwest::Method::PATCH,
            "/api/coupons/1",
            &[("content-type", "application/json")],
            Some(br#"{"totalQuantty": 5}"#.to_vec()),
        )
        .await
        .unwrap();
    is_a_problem(&changed, 400);
    assert_eq!(changed.json["errors"][0]["pointer"], "/totalQuantty");
    for limit in ["ten", "1e9", "99999999999999999999", "1.5", ""] {
        for path in ["/api/products", "/api/products/popular"] {
            let answer = client.get(&format!("{path}?limit={limit}")).await.unwrap();
            is_a_problem(&answer, 400);
            let told = &answer.json["errors"][0]["detail"];
            assert_eq!(told, "must be an integer from 1 to 100");
        }
    }
}

async fn raw(client: &Client, kind: &str, body: impl Into<Vec<u8>>) -> Response {
    client
        .send(
            reqwest::Method::POST,
            "/api/orders",
            &[("content-type", kind)],
            Some(body.into()),
        )
        .await
        .expect("an answer")
}

async fn what_does_not_fit_is_told_so(stage: Stage) {
    let shop = stage.open(1, 1, 10).await;
    let client = shop.client();
    for (body, pointer) in orders_that_do_not_fit() {
        let answer = client.post("/api/orders", &body).await.unwrap();
        is_a_problem(&answer, 400);
        assert_eq!(
            answer.json["errors"][0]["pointer"], pointer,
            "{body}: {}",
            answer.text
        );
    }
    let json = "application/json";
    is_a_problem(&raw(&client, json, "").await, 400);
    is_a_problem(&raw(&client, json, "{").await, 400);
    is_a_problem(&raw(&client, json, "not json").await, 400);
    is_a_problem(&raw(&client, json, [0xff_u8, 0xfe, 0x00]).await, 400);
    is_a_problem(&raw(&client, json, "[".repeat(20_000)).await, 400);
    is_a_problem(
        &raw(&client, json, format!("\"{}\"", "x".repeat(1 << 20))).await,
        413,
    );
    is_a_problem(&raw(&client, "text/plain", "{}").await, 415);
    let twice = r#"{"userId": 1, "userId": 1, "orderItems": []}"#;
    let twice = raw(&client, json, twice).await;
    is_a_problem(&twice, 400);
    assert_eq!(twice.json["errors"][0]["pointer"], "/userId");
    nothing_else_is_taken_for_it(&client).await;
    for path in [
        "/api/products?limit=0",
        "/api/products?limit=101",
        "/api/products?limit=-5",
        "/api/products?limit=ten",
        "/api/products?cursor=%00%ff",
        "/api/products/abc",
        "/api/products/-1",
        "/api/products/99999999999999999999",
        "/api/orders/1%27%20OR%20%271%27=%271?userId=1",
        "/api/products/popular?window=4d",
        "/api/products/popular?limit=0",
        "/api/users/balance?userId=x",
        "/api/users/balance?userId=1&userId=2",
        "/api/users/balance",
    ] {
        is_a_problem(&client.get(path).await.unwrap(), 400);
    }
    is_a_problem(&client.get("/api/nothing/here").await.unwrap(), 404);
    is_a_problem(&client.get("/").await.unwrap(), 404);
    let wrong = client
        .send(reqwest::Method::DELETE, "/api/products/1", &[], None)
        .await
        .unwrap();
    is_a_problem(&wrong, 405);
    for name in ["", "   ", "a\u{0}b", "line\nbreak", &"n".repeat(201)] {
        let body = json!({"name": name, "price": 1, "stock": 1});
        let answer = client.post("/api/products", &body).await.unwrap();
        is_a_problem(&answer, 400);
        assert_eq!(answer.json["errors"][0]["pointer"], "/name", "{name:?}");
    }
    assert_eq!(balance(&client, 1).await, 1_000_000);
    let list = client.get("/api/products").await.unwrap().expect(200);
    assert_eq!(list.json["items"].as_array().map(Vec::len), Some(1));
    stage.audit().await;
}
