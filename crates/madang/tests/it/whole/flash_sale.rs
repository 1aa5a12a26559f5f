//! The flash sale: 3,000 shoppers for 1,000 coupons while 2,000 orders are placed, some of them refused.

use std::collections::BTreeMap;

use anyhow::ensure;
use testkit::{Client, eventually};
use tokio::task::JoinSet;

use super::stage::{PATIENCE, Stage, coupon_result, join, one_line};
use crate::on_both;

on_both!(first_come_first_served_while_orders_pour_in);

const SHOPPERS: u64 = 3_000;
const QUOTA: u32 = 1_000;
const ORDERS: u64 = 2_000;
const HANDS: u64 = 48;

async fn first_come_first_served_while_orders_pour_in(stage: Stage) {
    // 20 products of 60 pieces: of 2,000 orders of one piece 1,200 can be filled.
    stage.seed(2_000, 20, 60, 1, QUOTA).await;
    let shop = stage.settings.start().await.expect("the shop starts");
    let client = shop.client();
    let joins = share(SHOPPERS, &client, join_once);
    let orders = share(ORDERS, &client, order_once);
    let (joins, orders) = tokio::join!(joins, orders);

    let placed = orders.iter().filter(|(_, place)| place.is_some()).count();
    assert_eq!(placed, 1_200, "exactly what was in stock was sold");
    let places: BTreeMap<u64, u64> = joins
        .iter()
        .filter_map(|(u, p)| p.map(|p| (p, *u)))
        .collect();
    let numbers: Vec<u64> = places.keys().copied().collect();
    assert_eq!(
        numbers,
        (1..=u64::from(QUOTA)).collect::<Vec<_>>(),
        "every place once, and no more"
    );

    for (place, user) in &places {
        let result = eventually(PATIENCE, "every joiner has an answer", async || {
            coupon_result(&client, 1, *user).await
        })
        .await;
        assert_eq!(result["status"], "SUCCESS", "place {place}: {result}");
    }
    let board = eventually(PATIENCE, "the board has every sale", async || {
        let list = client
            .get("/api/products/popular?window=today&limit=20")
            .await?;
        let items = list.json.as_array().cloned().unwrap_or_default();
        let sold: i64 = items
            .iter()
            .filter_map(|b| b["soldQuantity"].as_i64())
            .sum();
        ensure!(sold == 1_200, "{sold} sold");
        Ok(items)
    })
    .await;
    assert_eq!(board.len(), 20);
    stage.audit().await;
}

/// Runs `ask` for 1..=count from a few hands at once; what each said.
async fn share<F>(count: u64, client: &Client, ask: fn(Client, u64) -> F) -> Vec<(u64, Option<u64>)>
where
    F: Future<Output = Option<u64>> + Send + 'static,
{
    let mut hands = JoinSet::new();
    for hand in 0..HANDS {
        let client = client.clone();
        hands.spawn(async move {
            let mut said = Vec::new();
            for n in (1 + hand..=count).step_by(HANDS as usize) {
                said.push((n, ask(client.clone(), n).await));
            }
            said
        });
    }
    hands.join_all().await.into_iter().flatten().collect()
}

/// The place, or none when told that it is sold out.
async fn join_once(client: Client, user: u64) -> Option<u64> {
    let answer = join(&client, 1, user).await;
    match answer.status {
        202 => answer.json["queuePosition"].as_u64(),
        409 => {
            assert_eq!(answer.json["code"], "coupon-sold-out", "{}", answer.text);
            None
        }
        _ => panic!("user {user}: {} {}", answer.status, answer.text),
    }
}

/// The order's id, or none when there is no stock left.
async fn order_once(client: Client, n: u64) -> Option<u64> {
    let body = one_line(n, n % 20 + 1, 1);
    let answer = client.post("/api/orders", &body).await.expect("an answer");
    match answer.status {
        201 => answer.json["id"].as_u64(),
        409 => {
            assert_eq!(answer.json["code"], "out-of-stock", "{}", answer.text);
            None
        }
        _ => panic!("order {n}: {} {}", answer.status, answer.text),
    }
}
