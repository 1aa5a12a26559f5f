//! kill -9 in the middle of load: every 201 and every place is still true after the next start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use testkit::{Client, eventually};
use tokio::task::JoinSet;

use super::stage::{PATIENCE, Stage, coupon_result, one_line};
use crate::on_both;

on_both!(what_was_answered_survives_a_kill);

struct Told {
    /// Key, order id.
    orders: Vec<(String, u64)>,
    /// User, place.
    places: Vec<(u64, u64)>,
}

/// Sends orders and joins until the connection breaks.
async fn shopper(client: Client, hand: u64, answered: Arc<AtomicU64>) -> Told {
    let mut told = Told {
        orders: Vec::new(),
        places: Vec::new(),
    };
    for n in 0.. {
        let user = hand + 16 * n + 1;
        let key = format!("{hand}-{n}");
        let headers = [("idempotency-key", key.as_str())];
        let body = one_line(user % 1_000 + 1, n % 5 + 1, 1);
        match client.post_with("/api/orders", &headers, &body).await {
            Ok(answer) => {
                let id = answer.expect(201).json["id"].as_u64().expect("an id");
                told.orders.push((key, id));
            }
            Err(_) => break,
        }
        let path = format!("/api/coupons/1/issue?userId={user}");
        match client.post(&path, &json!({})).await {
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => {
                let place = answer.expect(202).json["queuePosition"]
                    .as_u64()
                    .expect("a place");
                told.places.push((user, place));
            }
            Err(_) => break,
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    told
}

async fn what_was_answered_survives_a_kill(stage: Stage) {
    stage.seed(1_000, 5, 1_000_000, 1, 1_000_000).await;
    let mut shop = stage.settings.start().await.expect("the shop starts");
    let answered = Arc::new(AtomicU64::new(0));
    let mut hands = JoinSet::new();
    for hand in 0..16 {
        hands.spawn(shopper(shop.client(), hand, answered.clone()));
    }
    eventually(PATIENCE, "the load is under way", async || {
        let seen = answered.load(Ordering::Relaxed);
        anyhow::ensure!(seen >= 300, "{seen} answered");
        Ok(())
    })
    .await;
    shop.kill();
    let told = hands.join_all().await;

    let shop = stage.settings.start().await.expect("the shop starts again");
    let client = shop.client();
    for told in &told {
        let last = told.orders.len().saturating_sub(1) as u64;
        for (key, id) in &told.orders {
            let part = |i: usize| key.split('-').nth(i).and_then(|n| n.parse::<u64>().ok());
            let (hand, n) = part(0).zip(part(1)).expect("two numbers");
            let user = (hand + 16 * n + 1) % 1_000 + 1;
            client
                .get(&format!("/api/orders/{id}?userId={user}"))
                .await
                .unwrap()
                .expect(200);
            // The first and the last of each hand are asked for again under their keys as well.
            if n == 0 || n == last {
                let body = one_line(user, n % 5 + 1, 1);
                let again = client
                    .post_with("/api/orders", &[("idempotency-key", key)], &body)
                    .await
                    .unwrap()
                    .expect(201);
                assert_eq!(again.json["id"], *id);
                assert_eq!(again.header("idempotent-replayed"), "true");
            }
        }
        for (user, place) in &told.places {
            let result = eventually(PATIENCE, "the joiner has a result", async || {
                coupon_result(&client, 1, *user).await
            })
            .await;
            assert_eq!(result["status"], "SUCCESS", "place {place}");
        }
    }
    stage.audit().await;
}
