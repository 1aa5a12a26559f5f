//! What a process with these roles depends on, as questions for `readiness`.

use std::sync::Arc;

use super::Shop;
use crate::readiness::Dependency;
use crate::roles::Role;

/// A process that serves requests goes on without log and Redis (orders and joins are kept); one that does not, cannot.
pub fn dependencies(shop: &Arc<Shop>, roles: &[Role]) -> Vec<Dependency> {
    let serves = roles.contains(&Role::Api);
    let moves = roles.iter().any(Role::moves_events);
    let database = shop.database.clone();
    let mut all = vec![Dependency::new("database", true, move || {
        let database = database.clone();
        async move { database.ping().await.map_err(|error| error.to_string()) }
    })];
    if let Some(log) = shop.event_log().filter(|_| moves) {
        let name = if shop.config.kafka.brokers.is_empty() {
            "log"
        } else {
            "kafka"
        };
        all.push(Dependency::new(name, !serves, move || {
            let log = Arc::clone(&log);
            async move { log.ping().await.map_err(|error| error.to_string()) }
        }));
    }
    if let Some(redis) = shop.redis.clone() {
        all.push(Dependency::new("redis", !serves, move || {
            let redis = redis.clone();
            async move { redis.ping().await.map_err(|error| error.to_string()) }
        }));
    }
    if roles.contains(&Role::CouponScheduler) {
        // Its scheduler is what makes the queue ready: a process without one would wait for another process.
        let coupons = Arc::clone(&shop.features.coupons);
        all.push(Dependency::new("coupon-queue", false, move || {
            let coupons = Arc::clone(&coupons);
            async move {
                coupons
                    .queue_ready()
                    .await
                    .map_err(|error| error.to_string())
            }
        }));
    }
    if serves && !shop.config.auth.jwks_url.is_empty() {
        let keys = Arc::clone(&shop.issuer_keys);
        all.push(Dependency::new("issuer-keys", false, move || {
            let there = !keys.read().is_empty();
            async move {
                there
                    .then_some(())
                    .ok_or_else(|| "no keys have been fetched".to_owned())
            }
        }));
    }
    all
}
