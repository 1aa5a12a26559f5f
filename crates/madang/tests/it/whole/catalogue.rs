//! The catalogue: list, show, create, change, adjust.

use serde_json::{Value, json};

use super::stage::{Stage, stock_becomes};
use crate::on_both;

on_both!(products_are_created_changed_and_paged);

async fn products_are_created_changed_and_paged(stage: Stage) {
    let shop = stage.open(1, 25, 10).await;
    let client = shop.client();
    let created = client
        .post(
            "/api/products",
            &json!({"name": "감귤 \"한\" 상자'; DROP TABLE products; --", "price": 12_000, "stock": 3}),
        )
        .await
        .unwrap()
        .expect(201);
    let id = created.json["id"].as_i64().expect("an id");
    assert!(id > 25, "{id} is not one of the seeded");
    assert_eq!(created.header("location"), format!("/api/products/{id}"));
    let page = client
        .get(&format!("/api/products/{id}"))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(
        page.json["name"],
        "감귤 \"한\" 상자'; DROP TABLE products; --"
    );
    assert_eq!(page.json["currentPrice"], 12_000);
    assert_eq!(page.json["stock"], 3);

    let changed = client
        .patch(&format!("/api/products/{id}"), &json!({"price": 9_900}))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(changed.json["currentPrice"], 9_900);
    client
        .post(&format!("/api/products/{id}/stock"), &json!({"delta": 4}))
        .await
        .unwrap()
        .expect(200);
    stock_becomes(&client, id.unsigned_abs(), 7).await;
    let refused = client
        .post(&format!("/api/products/{id}/stock"), &json!({"delta": -8}))
        .await
        .unwrap()
        .expect(409);
    assert_eq!(refused.json["code"], "out-of-stock");

    let mut seen = Vec::new();
    let mut path = "/api/products?limit=10".to_owned();
    loop {
        let page = client.get(&path).await.unwrap().expect(200);
        let items = page.json["items"].as_array().expect("items");
        seen.extend(items.iter().map(|p| p["id"].as_i64().expect("an id")));
        match page.json["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/products?limit=10&cursor={cursor}"),
            None => break,
        }
    }
    assert!(seen.is_sorted() && seen.len() == 26, "{seen:?}");
    let missing = client.get("/api/products/9999").await.unwrap().expect(404);
    assert_eq!(missing.json["code"], "product-not-found");
    assert_ne!(missing.json["message"], Value::Null);
    stage.audit().await;
}
