//! Idempotency-Key: a repeat gets the same answer and no second effect.

use serde_json::json;
use testkit::Response;

use super::stage::{Stage, balance, one_line};
use crate::on_both;

on_both!(
    repeats_get_the_same_answer,
    a_repeated_top_up_is_one_and_keys_have_a_form,
    fifty_repeats_at_once_are_one_order
);

fn replayed(answer: &Response) -> bool {
    answer.header("idempotent-replayed") == "true"
}

async fn repeats_get_the_same_answer(stage: Stage) {
    let shop = stage.open(2, 1, 3).await;
    let client = shop.client();
    let key = [("idempotency-key", "order-1")];
    let first = client
        .post_with("/api/orders", &key, &one_line(1, 1, 2))
        .await
        .unwrap()
        .expect(201);
    assert!(!replayed(&first));
    let again = client
        .post_with("/api/orders", &key, &one_line(1, 1, 2))
        .await
        .unwrap()
        .expect(201);
    assert!(replayed(&again));
    assert_eq!(again.text, first.text);
    assert_eq!(again.header("location"), first.header("location"));
    let other = client
        .post_with("/api/orders", &key, &one_line(1, 1, 1))
        .await
        .unwrap()
        .expect(422);
    assert_eq!(other.json["code"], "idempotency-mismatch");
    assert_eq!(balance(&client, 1).await, 998_000);

    // A refusal decided in the transaction is an answer too, even when it could be filled later.
    let refused_key = [("idempotency-key", "order-2")];
    let refused = client
        .post_with("/api/orders", &refused_key, &one_line(1, 1, 2))
        .await
        .unwrap()
        .expect(409);
    client
        .post("/api/products/1/stock", &json!({"delta": 10}))
        .await
        .unwrap()
        .expect(200);
    let still = client
        .post_with("/api/orders", &refused_key, &one_line(1, 1, 2))
        .await
        .unwrap()
        .expect(409);
    assert!(replayed(&still));
    assert_eq!(still.text, refused.text);

    // Malformed is not stored: the key may be used once it is right.
    let later = [("idempotency-key", "order-3")];
    client
        .post_with("/api/orders", &later, &one_line(1, 1, 0))
        .await
        .unwrap()
        .expect(400);
    client
        .post_with("/api/orders", &later, &one_line(1, 1, 1))
        .await
        .unwrap()
        .expect(201);
    stage.audit().await;
}

async fn a_repeated_top_up_is_one_and_keys_have_a_form(stage: Stage) {
    let shop = stage.open(2, 1, 3).await;
    let client = shop.client();
    let charge = json!({"userId": 2, "amount": 500});
    let key = [("idempotency-key", "top-up")];
    for _ in 0..3 {
        let answer = client
            .post_with("/api/users/balance/charge", &key, &charge)
            .await
            .unwrap()
            .expect(200);
        assert_eq!(answer.json["balanceAfterCharge"], 1_000_500);
    }
    assert_eq!(balance(&client, 2).await, 1_000_500);
    // The key is another user's own as well, whoever says so where: nobody is signed in here.
    let other = json!({"userId": 1, "amount": 500});
    let answer = client
        .post_with("/api/users/balance/charge", &key, &other)
        .await
        .unwrap()
        .expect(200);
    assert!(!replayed(&answer));
    assert_eq!(answer.json["userId"], 1);
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    client
        .post_with("/api/users/balance/charge", &twice, &charge)
        .await
        .unwrap()
        .expect(400);
    for bad in ["", &"k".repeat(256)] {
        client
            .post_with(
                "/api/orders",
                &[("idempotency-key", bad)],
                &one_line(1, 1, 1),
            )
            .await
            .unwrap()
            .expect(400);
    }
    stage.audit().await;
}

async fn fifty_repeats_at_once_are_one_order(stage: Stage) {
    let shop = stage.open(1, 1, 100).await;
    let client = shop.client();
    let mut asks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        asks.spawn(async move {
            let key = [("idempotency-key", "the-one")];
            client
                .post_with("/api/orders", &key, &one_line(1, 1, 1))
                .await
                .expect("an answer")
        });
    }
    let mut ids = std::collections::BTreeSet::new();
    for answer in asks.join_all().await {
        match answer.status {
            201 => {
                ids.insert(answer.json["id"].as_i64());
            }
            409 => assert_eq!(answer.json["code"], "idempotency-in-flight"),
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(balance(&client, 1).await, 999_000);
    stage.audit().await;
}
