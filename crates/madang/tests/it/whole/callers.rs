//! Who may do what, with tokens that the program itself prints.

use serde_json::json;
use testkit::{Client, ShopSettings};

use super::stage::{Stage, one_line};

async fn token(settings: &ShopSettings, arguments: &[&str]) -> String {
    let mut all = vec!["token"];
    all.extend_from_slice(arguments);
    settings
        .run(&all)
        .await
        .expect("token runs")
        .expect_success()
        .stdout
        .trim()
        .to_owned()
}

#[tokio::test]
async fn tokens_say_who_is_calling() {
    let stage = Stage::embedded().env("MADANG_AUTH__MODE", "jwt");
    let shop = stage.open(2, 1, 10).await;
    let anyone = shop.client();
    let settings = shop.settings();
    let one = anyone.with_token(token(settings, &["--sub", "1"]).await);
    let two = anyone.with_token(token(settings, &["--sub", "2"]).await);
    let operator =
        anyone.with_token(token(settings, &["--sub", "900", "--scope", "operator"]).await);

    unauthorized(&anyone, "no token").await;
    unauthorized(&anyone.with_token("not.a.token"), "garbage").await;
    // A token of another secret: header and claims are fine, the signature is not.
    let mut forged = token(settings, &["--sub", "1"]).await;
    forged.truncate(forged.len() - 4);
    unauthorized(&anyone.with_token(format!("{forged}AAAA")), "forged").await;
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIiwic2NvcGUiOiJvcGVyYXRvciJ9.";
    unauthorized(&anyone.with_token(unsigned), "alg none").await;

    own_things_only(&one, &two, &operator).await;
    operators_change_the_shop(&one, &operator).await;
    // The catalogue is for everybody.
    anyone.get("/api/products").await.unwrap().expect(200);
    anyone
        .get("/api/products/popular")
        .await
        .unwrap()
        .expect(200);
}

async fn own_things_only(one: &Client, two: &Client, operator: &Client) {
    let order = one
        .post(
            "/api/orders",
            &json!({"orderItems": [{"productId": 1, "quantity": 1}]}),
        )
        .await
        .unwrap()
        .expect(201);
    assert_eq!(order.json["userId"], 1);
    let path = format!("/api/orders/{}", order.json["id"]);
    one.get(&path).await.unwrap().expect(200);
    two.get(&path).await.unwrap().expect(404);
    operator.get(&path).await.unwrap().expect(200);
    two.post(&format!("{path}/cancel"), &json!({}))
        .await
        .unwrap()
        .expect(404);
    two.post("/api/orders", &one_line(1, 1, 1))
        .await
        .unwrap()
        .expect(403);
    two.get("/api/users/balance?userId=1")
        .await
        .unwrap()
        .expect(403);
    operator
        .get("/api/users/balance?userId=1")
        .await
        .unwrap()
        .expect(200);
}

async fn operators_change_the_shop(one: &Client, operator: &Client) {
    let product = json!({"name": "mug", "price": 1, "stock": 1});
    one.post("/api/products", &product)
        .await
        .unwrap()
        .expect(403);
    // Whoever may not do it learns nothing of how it is done.
    let wrong = one.post("/api/products", &json!({"nmae": 1})).await;
    wrong.unwrap().expect(403);
    operator
        .post("/api/products", &product)
        .await
        .unwrap()
        .expect(201);
    one.get("/api/stats/sales?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&by=hour")
        .await
        .unwrap()
        .expect(403);
}

async fn unauthorized(client: &Client, why: &str) {
    let answer = client.get("/api/users/balance").await.unwrap();
    assert_eq!(answer.status, 401, "{why}: {}", answer.text);
    assert_eq!(answer.json["code"], "unauthorized");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
}
