//! The routes over a catalogue of one product that a test plays: statuses, bodies, refusals.

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::{Extension, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::super::model::{Adjustment, Change, NewProduct};
use super::super::{Settings, Store, decide};
use super::*;
use crate::answer::{Keyed, StoreError};
use crate::clock::{SystemClock, from_us};
use crate::http::Gate;
use crate::http::auth::Authenticator;
use crate::ids::{Allocator, Range, Series, Source};

struct One(Mutex<Product>);

impl One {
    fn apply(
        &self,
        id: ProductId,
        render: crate::catalogue::Render<'_>,
        decide: impl FnOnce(&Product) -> Result<Product, Refusal>,
    ) -> Answered {
        let mut product = self.0.lock();
        let outcome = if id == product.id {
            decide(&product)
        } else {
            Err(Refusal::NotFound(id))
        };
        if let Ok(changed) = &outcome {
            *product = changed.clone();
        }
        Answered::Fresh(render(&outcome))
    }
}

#[async_trait]
impl Store for One {
    async fn products(&self, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
        let product = self.0.lock().clone();
        Ok(Some(product)
            .into_iter()
            .filter(|p| ids.contains(&p.id))
            .collect())
    }

    async fn page(&self, _: Option<i64>, _: u32) -> Result<Vec<Product>, StoreError> {
        Ok(vec![self.0.lock().clone()])
    }

    async fn create(
        &self,
        keyed: Keyed<'_, NewProduct, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        let new = keyed.command;
        let outcome = Ok(Product {
            id: new.id,
            name: new.name,
            price: new.price,
            stock: new.stock,
            listing: new.listing,
            created_at: from_us(0),
            updated_at: from_us(0),
        });
        Ok(Answered::Fresh((keyed.render)(&outcome)))
    }

    async fn change(
        &self,
        keyed: Keyed<'_, Change, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        let change = keyed.command;
        Ok(self.apply(change.id, keyed.render, |p| decide::change(p, &change)))
    }

    async fn adjust(
        &self,
        keyed: Keyed<'_, Adjustment, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        let by = keyed.command;
        Ok(self.apply(by.id, keyed.render, |p| decide::adjust(p, &by)))
    }
}

struct From21;

#[async_trait]
impl Source for From21 {
    async fn reserve(&self, _: Series, count: u32) -> Result<Range, String> {
        Ok(Range {
            first: 21,
            end: 21 + i64::from(count),
        })
    }
}

fn shop() -> Router {
    let tea = Product {
        id: ProductId::try_from(7).unwrap(),
        name: Name::try_from("tea".to_owned()).unwrap(),
        price: Won::try_from(12_000).unwrap(),
        stock: 5,
        listing: Listing::OnSale,
        created_at: from_us(1_795_356_000_123_456),
        updated_at: from_us(1_795_356_001_000_000),
    };
    let catalogue = Catalogue::new(
        Arc::new(One(Mutex::new(tea))),
        Arc::new(Allocator::new(Arc::new(From21), 1)),
        Arc::new(SystemClock),
        &Settings::default(),
    );
    let (router, _) = router(Arc::new(catalogue)).split_for_parts();
    router.layer(Extension(Arc::new(Gate::new(Authenticator::Off, 10_000))))
}

async fn ask(shop: &Router, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path);
    let body = if body.is_null() {
        Body::empty()
    } else {
        request = request.header("content-type", "application/json");
        Body::from(body.to_string())
    };
    let response = shop
        .clone()
        .oneshot(request.body(body).unwrap())
        .await
        .unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn shapes_of_answers() {
    let shop = shop();
    let (status, product) = ask(&shop, "GET", "/api/products/7", Value::Null).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("product", product);
    let (status, page) = ask(&shop, "GET", "/api/products?limit=1", Value::Null).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("page", page);
    let missing = ask(&shop, "GET", "/api/products/8", Value::Null).await;
    let short = ask(&shop, "POST", "/api/products/7/stock", json!({"delta": -6})).await;
    let back = ask(
        &shop,
        "PATCH",
        "/api/products/7",
        json!({"status": "PREPARING"}),
    )
    .await;
    let by_hand = ask(
        &shop,
        "PATCH",
        "/api/products/7",
        json!({"status": "SOLD_OUT"}),
    )
    .await;
    let problems = [missing, short, back, by_hand].map(|(status, problem)| {
        assert_eq!(problem["status"], status.as_u16());
        problem
    });
    insta::assert_json_snapshot!("problems", problems);
}

#[tokio::test]
async fn a_product_is_created_and_named_in_location() {
    let body = json!({"name": "다기", "price": 0, "stock": 0});
    let request = Request::post("/api/products")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = shop().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/api/products/21");
    let bytes = to_bytes(response.into_body(), 100_000).await.unwrap();
    let product: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(product["id"], 21);
    assert_eq!(product["status"], "SOLD_OUT");
    let waiting = json!({"name": "다기", "price": 1, "stock": 1, "status": "PREPARING"});
    let (_, product) = ask(&shop(), "POST", "/api/products", waiting).await;
    assert_eq!(product["status"], "PREPARING");
}

#[tokio::test]
async fn stock_and_status_follow_each_other() {
    let shop = shop();
    let adjust = async |delta: i64| {
        let path = "/api/products/7/stock";
        let (status, product) = ask(&shop, "POST", path, json!({"delta": delta})).await;
        assert_eq!(status, 200);
        (product["stock"].clone(), product["status"].clone())
    };
    assert_eq!(adjust(-5).await, (json!(0), json!("SOLD_OUT")));
    // Seen at once by whoever asks this process.
    let (_, product) = ask(&shop, "GET", "/api/products/7", Value::Null).await;
    assert_eq!(product["status"], "SOLD_OUT");
    assert_eq!(adjust(3).await, (json!(3), json!("ON_SALE")));
    let change = json!({"price": 9, "status": "STOPPED"});
    let (_, product) = ask(&shop, "PATCH", "/api/products/7", change).await;
    assert_eq!(
        (&product["currentPrice"], &product["stock"]),
        (&json!(9), &json!(3))
    );
    assert_eq!(product["status"], "STOPPED");
}

#[tokio::test]
async fn what_does_not_fit_points_to_its_field() {
    let shop = shop();
    let long = "x".repeat(201);
    let create = |field: &str, value: Value| {
        let mut body = json!({"name": "tea", "price": 1, "stock": 1});
        body[field] = value;
        (
            "POST",
            "/api/products".to_owned(),
            body,
            format!("/{field}"),
        )
    };
    let mut cases = vec![
        create("name", json!("")),
        create("name", json!("a\u{0}b")),
        create("name", json!(long)),
        create("price", json!(-1)),
        create("price", json!(1.5)),
        create("price", json!("1")),
        create("stock", json!(-1)),
        create("stock", json!(9_007_199_254_740_992_i64)),
        create("status", json!("SOLD_OUT")),
    ];
    for delta in [json!(0), json!(1_000_000_001), json!(0.5), Value::Null] {
        let path = "/api/products/7/stock".to_owned();
        cases.push(("POST", path, json!({"delta": delta}), "/delta".to_owned()));
    }
    let get = |path: &str, pointer: &str| ("GET", path.to_owned(), Value::Null, pointer.to_owned());
    cases.extend([
        get("/api/products/0", "{id}"),
        get("/api/products/9007199254740992", "{id}"),
        get("/api/products/tea", "{id}"),
        get("/api/products?limit=0", "?limit"),
        get("/api/products?limit=101", "?limit"),
        get("/api/products?limit=x", "?limit"),
        get("/api/products?cursor=%00", "?cursor"),
    ]);
    for (method, path, body, pointer) in cases {
        let (status, problem) = ask(&shop, method, &path, body.clone()).await;
        assert_eq!(status, 400, "{method} {path} {body}: {problem}");
        assert_eq!(problem["code"], "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    // What PATCH cannot change is not quietly passed over.
    let (status, _) = ask(&shop, "PATCH", "/api/products/7", json!({"stock": 9})).await;
    assert_eq!(status, 400);
}
