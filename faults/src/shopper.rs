//! What shoppers do: order, cancel, top up; join a campaign and ask where they stand.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::fleet::{DIRECT, PRODUCTS};
use crate::load::Shared;

/// How long a shopper thinks.
const THINK_MS: std::ops::Range<u64> = 5..45;

async fn think(random: &mut fastrand::Rng) {
    tokio::time::sleep(Duration::from_millis(random.u64(THINK_MS))).await;
}

/// Orders for users of its own, so that each one's balance can be told in advance.
pub async fn orders(shared: Arc<Shared>, users: Vec<u64>, mut random: fastrand::Rng) {
    loop {
        think(&mut random).await;
        let _turn = shared.turn().await;
        let user = users[random.usize(..users.len())];
        if random.u8(..10) == 0 {
            let path = format!("/api/users/balance/charge?userId={user}");
            let amount = 1_000 * random.i64(1..6);
            shared
                .ask(user, Method::POST, &path, json!({"amount": amount}))
                .await;
            continue;
        }
        let mut lines = Vec::new();
        for _ in 0..random.usize(1..4) {
            let product = random.u64(1..=PRODUCTS);
            lines.push(json!({"productId": product, "quantity": random.u64(1..4)}));
        }
        let path = format!("/api/orders?userId={user}");
        let placed = shared
            .ask(user, Method::POST, &path, json!({"orderItems": lines}))
            .await;
        if let Some(order) = placed
            && random.u8(..4) == 0
        {
            let path = format!("/api/orders/{}/cancel?userId={user}", order["id"]);
            shared.ask(user, Method::POST, &path, json!({})).await;
        }
    }
}

/// Joins, each time as somebody new, and polls once or twice.
pub async fn joins(shared: Arc<Shared>, mut random: fastrand::Rng) {
    loop {
        think(&mut random).await;
        let _turn = shared.turn().await;
        let user = shared.next_joiner.fetch_add(1, Ordering::Relaxed);
        let coupon = campaign(&shared, &mut random);
        join(&shared, coupon, user).await;
        if random.bool() {
            // Often the answer to the first try was lost: asking again tells the same place.
            join(&shared, coupon, user).await;
        }
        if coupon != DIRECT {
            poll(&shared, coupon, user).await;
        }
    }
}

fn campaign(shared: &Shared, random: &mut fastrand::Rng) -> u64 {
    if random.u8(..10) == 0 {
        return DIRECT;
    }
    let campaigns = shared
        .campaigns
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match random.bool() {
        true => campaigns.last().copied().unwrap_or(1),
        false => campaigns[random.usize(..campaigns.len())],
    }
}

/// Joins, or joins again, and journals the place.
pub async fn join(shared: &Shared, coupon: u64, user: u64) {
    let path = format!("/api/coupons/{coupon}/issue?userId={user}");
    let answer = match shared.look(Method::POST, &path).await {
        Ok(answer) => answer,
        Err(last) => {
            return shared
                .journal
                .differs(format!("a join got no answer: {last:#}"));
        }
    };
    match (answer.status, answer.json["code"].as_str()) {
        (202, _) => shared
            .journal
            .placed(coupon, user, answer.json["queuePosition"].as_i64()),
        (201, _) => shared.journal.settled(coupon, user, &answer.json),
        (409, Some("coupon-already-queued")) => {
            shared
                .journal
                .placed(coupon, user, answer.json["queuePosition"].as_i64());
        }
        // The status says which.
        (409, Some("coupon-already-issued")) => shared.journal.placed(coupon, user, None),
        (
            409,
            Some("coupon-sold-out" | "coupon-paused" | "coupon-closed" | "coupon-queue-restarted"),
        ) => {}
        _ => shared
            .journal
            .differs(format!("{path}: {} {}", answer.status, answer.text)),
    }
}

/// Asks where the joiner stands; what is final is journalled. Whether it was.
pub async fn poll(shared: &Shared, coupon: u64, user: u64) -> bool {
    let path = format!("/api/coupons/{coupon}/issue/status?userId={user}");
    let answer = match shared.look(Method::GET, &path).await {
        Ok(answer) => answer,
        Err(last) => {
            shared
                .journal
                .differs(format!("a poll got no answer: {last:#}"));
            return false;
        }
    };
    match (answer.status, answer.json["status"].as_str()) {
        (200, Some("PROCESSING")) => {
            shared
                .journal
                .placed(coupon, user, answer.json["queuePosition"].as_i64());
            false
        }
        (200, Some(_)) => {
            shared.journal.settled(coupon, user, &answer.json);
            true
        }
        // A join that was refused left no place.
        (404, _) => shared
            .journal
            .with(|state| !state.places.contains_key(&(coupon, user))),
        _ => {
            shared
                .journal
                .differs(format!("{path}: {} {}", answer.status, answer.text));
            false
        }
    }
}
