//! The routes on a store that a test plays: what bodies are taken, what they answer, what is refused at the door.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::answer::StoreError;
use crate::http::Gate;
use crate::http::auth::Authenticator;
use crate::order::tests::played::{Played, orders};
use crate::order::{Settings, http};

struct Shop {
    routes: axum::Router,
    store: Arc<Played>,
}

impl Shop {
    fn open() -> Self {
        let store = Played::open();
        let gate = Arc::new(Gate::new(Authenticator::Off, 1 << 20));
        let routes: axum::Router = http::router(orders(store.clone(), Settings::default())).into();
        let routes = routes.layer(axum::Extension(gate));
        Self { routes, store }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> (StatusCode, Option<String>, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let location = response.headers().get("location");
        let location = location.map(|l| l.to_str().unwrap().to_owned());
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, location, serde_json::from_slice(&bytes).unwrap())
    }
}

#[tokio::test]
async fn an_order_is_placed_shown_listed_and_cancelled() {
    let shop = Shop::open();
    let body = r#"{"userId": 7, "orderItems": [{"productId": 1, "quantity": 2}], "note": "unknown fields pass"}"#;
    let (status, location, order) = shop.send("POST", "/api/orders", body).await;
    assert_eq!(status, 201, "{order}");
    let created_at = order["createdAt"].clone();
    assert_eq!(
        order,
        json!({
            "id": 1, "userId": 7, "userCouponId": null, "totalAmount": 20, "discountAmount": 0,
            "discountedAmount": 20, "status": "COMPLETED", "createdAt": created_at,
            "orderItems": [{"id": 1, "productId": 1, "productName": "one", "quantity": 2, "unitPrice": 10, "totalPrice": 20}],
        })
    );
    assert_eq!(location.as_deref(), Some("/api/orders/1"));
    let (status, _, shown) = shop.send("GET", "/api/orders/1?userId=7", "").await;
    assert_eq!((status, &shown), (StatusCode::OK, &order));
    let (status, _, page) = shop.send("GET", "/api/users/orders?userId=7", "").await;
    assert_eq!(status, 200);
    assert_eq!(page, json!({"items": [order], "nextCursor": null}));
    let (status, _, cancelled) = shop.send("POST", "/api/orders/1/cancel?userId=7", "").await;
    assert_eq!(status, 200);
    assert_eq!(cancelled["status"], "CANCELLED");
    let (status, _, problem) = shop
        .send("POST", "/api/orders/1/cancel?userId=7", "{}")
        .await;
    assert_eq!(status, 409);
    assert_eq!(problem["code"], "order-already-cancelled");
}

#[tokio::test]
async fn another_users_order_is_not_there() {
    let shop = Shop::open();
    let body = r#"{"userId": 7, "orderItems": [{"productId": 1, "quantity": 2}]}"#;
    shop.send("POST", "/api/orders", body).await;
    for (method, path) in [
        ("GET", "/api/orders/1?userId=8"),
        ("POST", "/api/orders/1/cancel?userId=8"),
        ("GET", "/api/orders/2?userId=7"),
    ] {
        let (status, _, problem) = shop.send(method, path, "").await;
        assert_eq!(status, 404, "{path}");
        assert_eq!(problem["code"], "order-not-found", "{path}");
    }
}

#[tokio::test]
async fn bodies_that_do_not_fit_name_the_field() {
    let shop = Shop::open();
    let item = r#"{"productId": 1, "quantity": 1}"#;
    let many = vec![item; 101].join(",");
    let cases = [
        (
            r#"{"userId": 7, "orderItems": []}"#.to_owned(),
            "/orderItems",
        ),
        (
            format!(r#"{{"userId": 7, "orderItems": [{many}]}}"#),
            "/orderItems",
        ),
        (
            r#"{"userId": 7, "orderItems": [{"productId": 1, "quantity": 0}]}"#.into(),
            "/orderItems/0/quantity",
        ),
        (
            r#"{"userId": 7, "orderItems": [{"productId": 1, "quantity": 1001}]}"#.into(),
            "/orderItems/0/quantity",
        ),
        (
            r#"{"userId": 7, "orderItems": [{"productId": 1, "quantity": 1.5}]}"#.into(),
            "/orderItems/0/quantity",
        ),
        (
            r#"{"userId": 7, "orderItems": [{"productId": -1, "quantity": 1}]}"#.into(),
            "/orderItems/0/productId",
        ),
        (r#"{"userId": "7", "orderItems": []}"#.into(), "/userId"),
        (
            r#"{"orderItems": [{"productId": 1, "quantity": 1}]}"#.into(),
            "?userId",
        ),
        (r#"{"userId": 7}"#.into(), "/orderItems"),
        (
            r#"{"userId": 7, "orderItems": [[1, 1]]}"#.into(),
            "/orderItems/0",
        ),
        (r#"[7, [{"productId": 1, "quantity": 1}], null]"#.into(), ""),
    ];
    for (body, pointer) in cases {
        let (status, _, problem) = shop.send("POST", "/api/orders", &body).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert!(shop.store.batches.lock().is_empty());
}

#[tokio::test]
async fn what_the_store_cannot_do_is_told_apart() {
    let shop = Shop::open();
    let body = r#"{"userId": 7, "orderItems": [{"productId": 1, "quantity": 2}]}"#;
    for (error, status, code) in [
        (StoreError::Unavailable("x".into()), 503, "unavailable"),
        (
            StoreError::OutcomeUnknown("x".into()),
            503,
            "outcome-unknown",
        ),
        (
            StoreError::FollowUp("x".into()),
            503,
            "data-platform-failed",
        ),
        (StoreError::Failed("x".into()), 500, "internal"),
    ] {
        *shop.store.fault.lock() = Some((7, error));
        let (seen, _, problem) = shop.send("POST", "/api/orders", body).await;
        assert_eq!(seen, status);
        assert_eq!(problem["code"], code);
    }
}
