//! The routes against a store and a queue that a test plays: statuses, bodies and problems as clients see them.

mod stage;

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt;

use super::super::queue::{Settled, Settlement};
use super::super::{Coupons, IssueMode, Ports, Queue, Settings, WatchSettings};
use crate::clock::SystemClock;
use crate::http::Gate;
use crate::http::auth::Authenticator;
use crate::ids::{Allocator, Range, Series, Source};
use stage::Stage;

struct Numbers(Mutex<i64>);

#[async_trait]
impl Source for Numbers {
    async fn reserve(&self, _: Series, count: u32) -> Result<Range, String> {
        let mut next = self.0.lock();
        let first = *next;
        *next += i64::from(count);
        Ok(Range { first, end: *next })
    }
}

struct Shop {
    stage: Arc<Stage>,
    coupons: Arc<Coupons>,
    router: axum::Router,
}

impl Shop {
    fn new(issue_mode: IssueMode) -> Self {
        let stage = Arc::new(Stage::default());
        let ports = Ports {
            store: stage.clone(),
            issuing: stage.clone(),
            epochs: stage.clone(),
            queue: stage.clone(),
        };
        let settings = Settings {
            issue_mode,
            watch: WatchSettings {
                streams_max: 1,
                poll_ms: 5,
                ..WatchSettings::default()
            },
            ..Settings::default()
        };
        let ids = Arc::new(Allocator::new(Arc::new(Numbers(Mutex::new(1))), 1));
        let coupons = Arc::new(Coupons::new(ports, ids, Arc::new(SystemClock), settings));
        let gate = Arc::new(Gate::new(Authenticator::Off, 100_000));
        let (router, _) = super::router(coupons.clone()).split_for_parts();
        Self {
            stage,
            coupons,
            router: router.layer(axum::Extension(gate)),
        }
    }

    async fn response(&self, method: Method, path: &str, body: &str) -> axum::response::Response {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let response = self.response(method, path, body).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, "").await
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.ask(Method::POST, path, body).await
    }

    async fn campaign(&self) {
        let (status, body) = self.post("/api/coupons", &draft("")).await;
        assert_eq!((status, &body["id"]), (201, &Value::from(1)), "{body}");
    }

    async fn settle(&self, user: i64, settlement: Settlement) {
        let settled = Settled {
            user: user.try_into().unwrap(),
            sequence: 1,
            settlement,
        };
        let coupon = 1.try_into().unwrap();
        self.stage.settle(coupon, &[settled]).await.unwrap();
    }
}

/// A campaign's body; `change` goes last, so that it wins.
fn draft(change: &str) -> String {
    let now = Timestamp::now();
    let end = now + SignedDuration::from_hours(1);
    format!(
        r#"{{"name":"첫 쿠폰","discountAmount":5000,"totalQuantity":2,"validFrom":"{now}","validTo":"{end}","expiresAt":"{end}"{change}}}"#
    )
}

#[tokio::test]
async fn a_campaign_is_created_listed_changed_and_closed() {
    let shop = Shop::new(IssueMode::Queue);
    let response = shop
        .response(Method::POST, "/api/coupons", &draft(""))
        .await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()[header::LOCATION], "/api/coupons/1");
    let (status, list) = shop.get("/api/coupons").await;
    assert_eq!((status, &list["nextCursor"]), (200, &Value::Null));
    assert_eq!(list["items"][0]["totalQuantity"], 2);
    assert_eq!(list["items"][0]["minOrderAmount"], 0);
    let (status, body) = shop
        .ask(Method::PATCH, "/api/coupons/1", r#"{"totalQuantity":5}"#)
        .await;
    assert_eq!((status, &body["totalQuantity"]), (200, &Value::from(5)));
    for (step, state) in [("pause", "PAUSED"), ("resume", "OPEN"), ("close", "CLOSED")] {
        let (status, body) = shop.post(&format!("/api/coupons/1/{step}"), "{}").await;
        assert_eq!((status, &body["state"]), (200, &Value::from(state)));
    }
    let (status, body) = shop.post("/api/coupons/1/resume", "").await;
    assert_eq!(
        (status, &body["code"]),
        (409, &Value::from("coupon-closed"))
    );
    let (status, body) = shop.post("/api/coupons/9/pause", "").await;
    assert_eq!(
        (status, &body["code"]),
        (404, &Value::from("coupon-not-found"))
    );
    assert_eq!(shop.get("/api/coupons/9").await.0, 404);
}

#[tokio::test]
async fn a_campaign_that_does_not_fit_is_refused_with_a_pointer() {
    let shop = Shop::new(IssueMode::Queue);
    for (wrong, pointer) in [
        (draft("").replace("5000", "0"), "/discountAmount"),
        (draft("").replace("5000", "2.5"), "/discountAmount"),
        (draft("").replace(":2,", ":2147483648,"), "/totalQuantity"),
        (draft("").replace("첫 쿠폰", "a\\u0000b"), "/name"),
        (draft(r#","minOrderAmount":-1"#), "/minOrderAmount"),
        (
            draft("").replace("validTo\":\"2", "validTo\":\"1"),
            "/validTo",
        ),
        (
            draft("").replace("expiresAt\":\"2", "expiresAt\":\"1"),
            "/expiresAt",
        ),
        (
            draft("").replace("validFrom\":\"", "validFrom\":\"x"),
            "/validFrom",
        ),
    ] {
        let (status, body) = shop.post("/api/coupons", &wrong).await;
        assert_eq!(status, 400, "{wrong}");
        assert_eq!(body["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn a_claim_from_the_join_to_the_result() {
    let shop = Shop::new(IssueMode::Queue);
    shop.campaign().await;
    let (status, body) = shop.post("/api/coupons/1/issue?userId=11", "{}").await;
    assert_eq!(status, 202);
    insta::assert_json_snapshot!("queued", body);
    let (status, body) = shop.post("/api/coupons/1/issue?userId=11", "").await;
    assert_eq!(status, 409);
    insta::assert_json_snapshot!("queued-again", body);
    assert_eq!(shop.post("/api/coupons/1/issue?userId=12", "").await.0, 202);
    let (_, body) = shop.post("/api/coupons/1/issue?userId=13", "").await;
    assert_eq!(body["code"], "coupon-sold-out");
    let status = "/api/coupons/1/issue/status?userId=11";
    insta::assert_json_snapshot!("processing", shop.get(status).await.1);
    shop.settle(11, Settlement::Issued(77.try_into().unwrap()))
        .await;
    insta::assert_json_snapshot!("success", shop.get(status).await.1);
    let (_, body) = shop.post("/api/coupons/1/issue?userId=11", "").await;
    assert_eq!(body["code"], "coupon-already-issued");
    shop.settle(12, Settlement::SoldOut).await;
    let failed = shop.get("/api/coupons/1/issue/status?userId=12").await;
    insta::assert_json_snapshot!("failed", failed.1);
    let (status, body) = shop.get("/api/coupons/1/issue/status?userId=13").await;
    assert_eq!(
        (status, &body["code"]),
        (404, &Value::from("coupon-not-joined"))
    );
    for path in ["/api/coupons/2/issue", "/api/coupons/2/issue/status"] {
        let method = if path.ends_with("status") {
            Method::GET
        } else {
            Method::POST
        };
        let (status, body) = shop.ask(method, &format!("{path}?userId=11"), "").await;
        assert_eq!(
            (status, &body["code"]),
            (404, &Value::from("coupon-not-found"))
        );
    }
    assert_eq!(shop.post("/api/coupons/1/issue", "").await.0, 400);
    assert_eq!(shop.post("/api/coupons/x/issue?userId=1", "").await.0, 400);
    let (_, held) = shop.get("/api/coupons/users/11").await;
    assert_eq!(held, Value::Array(vec![]));
    assert_eq!(shop.get("/api/users/coupons?userId=11").await.1, held);
}

#[tokio::test]
async fn a_queue_that_is_away_is_a_503_that_says_when_to_come_back() {
    let shop = Shop::new(IssueMode::Queue);
    shop.campaign().await;
    *shop.stage.away.lock() = true;
    let response = shop
        .response(Method::POST, "/api/coupons/1/issue?userId=11", "")
        .await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    // Who holds it is told all the same.
    let holding = (
        1.try_into().unwrap(),
        11.try_into().unwrap(),
        5.try_into().unwrap(),
    );
    shop.stage.held.lock().push(holding);
    let (status, body) = shop.get("/api/coupons/1/issue/status?userId=11").await;
    assert_eq!((status, &body["userCouponId"]), (200, &Value::from(5)));
    assert_eq!(
        shop.get("/api/coupons/1/issue/status?userId=12").await.0,
        503
    );
}

#[tokio::test]
async fn a_direct_campaign_issues_at_once() {
    let shop = Shop::new(IssueMode::Direct);
    shop.campaign().await;
    let (status, body) = shop.post("/api/coupons/1/issue?userId=11", "").await;
    assert_eq!(status, 201);
    insta::assert_json_snapshot!("issued-directly", body);
    let (status, body) = shop.post("/api/coupons/1/issue?userId=11", "").await;
    assert_eq!(
        (status, &body["code"]),
        (409, &Value::from("coupon-already-issued"))
    );
    let (status, body) = shop.get("/api/coupons/1/issue/status?userId=11").await;
    assert_eq!((status, &body["status"]), (200, &Value::from("SUCCESS")));
}

#[tokio::test]
async fn a_stream_tells_the_place_and_then_the_result() {
    let shop = Shop::new(IssueMode::Queue);
    shop.campaign().await;
    shop.post("/api/coupons/1/issue?userId=11", "").await;
    let path = "/api/coupons/1/issue/stream?userId=11";
    let response = shop.response(Method::GET, path, "").await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    // As many as may be open are.
    assert_eq!(shop.get(path).await.0, 503);
    shop.settle(11, Settlement::Issued(77.try_into().unwrap()))
        .await;
    let text = to_bytes(response.into_body(), 100_000).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    insta::assert_snapshot!("stream", text);
    // What is settled already is told at once, and the stream ends.
    let response = shop.response(Method::GET, path, "").await;
    to_bytes(response.into_body(), 100_000).await.unwrap();
    assert_eq!(
        shop.get("/api/coupons/1/issue/stream?userId=12").await.0,
        404
    );
}

#[tokio::test]
async fn streams_end_when_the_process_stops() {
    let shop = Shop::new(IssueMode::Queue);
    shop.campaign().await;
    shop.post("/api/coupons/1/issue?userId=11", "").await;
    let path = "/api/coupons/1/issue/stream?userId=11";
    let response = shop.response(Method::GET, path, "").await;
    shop.coupons.close_streams();
    to_bytes(response.into_body(), 100_000).await.unwrap();
    assert_eq!(shop.get(path).await.0, 503);
}
