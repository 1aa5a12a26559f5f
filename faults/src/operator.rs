//! What an operator does while the shop is busy: products, stock, small campaigns that sell out, quotas.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::fleet::PRODUCTS;
use crate::load::Shared;

const EVERY_MS: u64 = 60;
/// Campaigns that shoppers join at a time.
const CAMPAIGNS_MAX: usize = 6;

pub async fn run(shared: Arc<Shared>, mut random: fastrand::Rng) {
    let mut product = None;
    let mut step = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(EVERY_MS)).await;
        let _turn = shared.turn().await;
        step += 1;
        match step % 5 {
            0 => {
                let body = json!({"name": format!("stage prop {step}"), "price": 500, "stock": 3});
                let made = shared.ask(0, Method::POST, "/api/products", body).await;
                product = made.and_then(|made| made["id"].as_u64()).or(product);
            }
            1 => {
                if let Some(id) = product {
                    let body = json!({"price": random.i64(400..900)});
                    shared
                        .ask(0, Method::PATCH, &format!("/api/products/{id}"), body)
                        .await;
                }
            }
            2 => {
                let path = format!("/api/products/{}/stock", random.u64(1..=PRODUCTS));
                shared
                    .ask(0, Method::POST, &path, json!({"delta": random.i64(1..20)}))
                    .await;
            }
            3 => new_campaign(&shared, step).await,
            _ => change_quota(&shared, &mut random).await,
        }
    }
}

/// One with few coupons, so that it is sold out soon.
async fn new_campaign(shared: &Shared, step: u64) {
    let body = json!({
        "name": format!("in passing {step}"), "discountAmount": 100, "totalQuantity": 12,
        "validFrom": "2020-01-01T00:00:00Z", "validTo": "2090-01-01T00:00:00Z", "expiresAt": "2091-01-01T00:00:00Z",
    });
    let made = shared.ask(0, Method::POST, "/api/coupons", body).await;
    if let Some(id) = made.and_then(|made| made["id"].as_u64()) {
        let mut campaigns = shared
            .campaigns
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        campaigns.push(id);
        if campaigns.len() > CAMPAIGNS_MAX {
            // The first two are the seeded ones, which never sell out.
            campaigns.remove(2);
        }
    }
}

/// Higher or lower; a quota below what is given out is refused, which is an answer too.
async fn change_quota(shared: &Shared, random: &mut fastrand::Rng) {
    let last = {
        let campaigns = shared
            .campaigns
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        campaigns.get(2..).and_then(<[u64]>::last).copied()
    };
    if let Some(id) = last {
        let body = json!({"totalQuantity": random.i64(5..25)});
        shared
            .ask(0, Method::PATCH, &format!("/api/coupons/{id}"), body)
            .await;
    }
}
