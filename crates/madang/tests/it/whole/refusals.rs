//! Every refusal of an order has its reason, names it in words, and leaves no trace.

use serde_json::{Value, json};
use testkit::Client;

use super::stage::{PATIENCE, Stage, balance, coupon_result, join, one_line};
use crate::on_both;
use testkit::eventually;

on_both!(refused_orders_say_why_and_change_nothing, coupons_in_orders);

async fn refusal(client: &Client, body: &Value, status: u16) -> (String, String) {
    let answer = client
        .post("/api/orders", body)
        .await
        .expect("an answer")
        .expect(status);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json["message"], answer.json["detail"]);
    assert_eq!(answer.json["status"], status);
    let text = |name: &str| answer.json[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

async fn refused_orders_say_why_and_change_nothing(stage: Stage) {
    let shop = stage.open(2, 3, 5).await;
    let client = shop.client();
    let (code, message) = refusal(&client, &one_line(1, 1, 6), 409).await;
    assert_eq!(code, "out-of-stock");
    assert!(message.contains('5'), "names the stock: {message}");
    let (code, _) = refusal(&client, &one_line(1, 99, 1), 404).await;
    assert_eq!(code, "product-not-found");

    client
        .patch("/api/products/2", &json!({"status": "STOPPED"}))
        .await
        .unwrap()
        .expect(200);
    let (code, _) = refusal(&client, &one_line(1, 2, 1), 409).await;
    assert_eq!(code, "product-not-on-sale");

    // A user who was never seen opens at 0.
    let (code, message) = refusal(&client, &one_line(77, 1, 1), 409).await;
    assert_eq!(code, "insufficient-balance");
    assert!(message.contains("1000"), "names what is due: {message}");
    let coupon = json!({"userId": 1, "orderItems": [{"productId": 1, "quantity": 1}], "userCouponId": 424_242});
    let (code, _) = refusal(&client, &coupon, 404).await;
    assert_eq!(code, "coupon-not-found");

    assert_eq!(balance(&client, 1).await, 1_000_000);
    assert_eq!(balance(&client, 77).await, 0);
    let orders = client
        .get("/api/users/orders?userId=1")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(orders.json["items"], json!([]));
    stage.audit().await;
}

async fn held_coupon(client: &Client, campaign: &Value, user: u64) -> i64 {
    let id = campaign["id"].as_u64().expect("the campaign's id");
    join(client, id, user).await.expect(202);
    let result = eventually(PATIENCE, "the coupon is issued", async || {
        coupon_result(client, id, user).await
    })
    .await;
    assert_eq!(result["status"], "SUCCESS", "{result}");
    result["userCouponId"].as_i64().expect("its id")
}

async fn campaign(client: &Client, discount: i64, minimum: i64) -> Value {
    let now = jiff::Timestamp::now();
    let hours = jiff::SignedDuration::from_hours;
    client
        .post(
            "/api/coupons",
            &json!({"name": "welcome", "discountAmount": discount, "totalQuantity": 10,
                "validFrom": now - hours(1), "validTo": now + hours(1), "expiresAt": now + hours(2),
                "minOrderAmount": minimum}),
        )
        .await
        .unwrap()
        .expect(201)
        .json
}

async fn coupons_in_orders(stage: Stage) {
    let shop = stage.open(3, 1, 100).await;
    let client = shop.client();
    let with = |user: u64, quantity: u64, coupon: i64| {
        let mut body = one_line(user, 1, quantity);
        body["userCouponId"] = coupon.into();
        body
    };
    let thousand_off = campaign(&client, 1_000, 3_000).await;
    let coupon = held_coupon(&client, &thousand_off, 1).await;

    let (code, _) = refusal(&client, &with(2, 5, coupon), 404).await;
    assert_eq!(code, "coupon-not-found", "another user's coupon");
    let (code, _) = refusal(&client, &with(1, 2, coupon), 409).await;
    assert_eq!(code, "coupon-minimum-not-reached");
    let placed = client
        .post("/api/orders", &with(1, 5, coupon))
        .await
        .unwrap()
        .expect(201);
    assert_eq!(placed.json["totalAmount"], 5_000);
    assert_eq!(placed.json["discountAmount"], 1_000);
    assert_eq!(placed.json["discountedAmount"], 4_000);
    assert_eq!(placed.json["userCouponId"], coupon);
    let (code, _) = refusal(&client, &with(1, 5, coupon), 409).await;
    assert_eq!(code, "coupon-already-used");

    let held = client
        .get("/api/users/coupons?userId=1")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(held.json[0]["status"], "USED");
    client
        .post(
            &format!("/api/orders/{}/cancel?userId=1", placed.json["id"]),
            &json!({}),
        )
        .await
        .unwrap()
        .expect(200);
    let held = client
        .get("/api/coupons/users/1?userId=1")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(held.json[0]["status"], "AVAILABLE");
    assert_eq!(balance(&client, 1).await, 1_000_000);
    stage.audit().await;
}
