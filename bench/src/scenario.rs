//! The scenarios: what is sent, and what must be true afterwards for the figure to count.
//! How load is made is in `load`, where the shop comes from in `stage`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;

use crate::load::{Ask, NextRequest, Tally, closed_loop};
use crate::report::{Report, Run};
use crate::stage::{Seed, Stage};
use crate::{Drive, Joins, Orders};

/// So much that neither stock nor money runs out within a run.
pub const PLENTY: u64 = 1_000_000_000;
pub const PRICE: u64 = 1_000;

pub async fn orders(orders: &Orders) -> Result<Report> {
    ensure!(
        orders.lines >= 1 && orders.lines <= orders.products.min(100),
        "--lines must be from 1 to 100 and not more than --products"
    );
    let stage = Stage::set(
        &orders.drive,
        &Seed {
            users: orders.users,
            products: orders.products,
            stock: PLENTY,
            price: PRICE,
            balance: PLENTY * 1_000,
            coupons: 0,
            quota: 1,
        },
    )
    .await?;
    let name = format!(
        "orders, {} line(s), {}{}",
        orders.lines,
        if orders.one_product {
            "one product".to_owned()
        } else {
            format!("{} products", orders.products)
        },
        if orders.keys { ", with keys" } else { "" }
    );
    let shape = orders.clone();
    let serial = AtomicU64::new(fastrand::u64(..));
    let next: NextRequest = Arc::new(move || order(&shape, &serial));
    drive(&stage, &orders.drive, name, 201, |_| next.clone()).await
}

pub fn order(shape: &Orders, serial: &AtomicU64) -> Ask {
    let user = fastrand::u64(1..=shape.users);
    let first = if shape.one_product {
        1
    } else {
        fastrand::u64(1..=shape.products)
    };
    let lines: Vec<String> = (0..shape.lines)
        .map(|i| {
            let product = (first - 1 + i) % shape.products + 1;
            format!(r#"{{"productId":{product},"quantity":1}}"#)
        })
        .collect();
    Ask {
        path: "/api/orders".to_owned(),
        body: Bytes::from(format!(
            r#"{{"userId":{user},"orderItems":[{}]}}"#,
            lines.join(",")
        )),
        key: shape
            .keys
            .then(|| format!("bench-{}", serial.fetch_add(1, Ordering::Relaxed))),
    }
}

pub async fn joins(joins: &Joins) -> Result<Report> {
    let campaigns = joins.drive.runs as u64 + 1;
    let stage = Stage::set(
        &joins.drive,
        &Seed {
            users: 1,
            products: 1,
            stock: 1,
            price: PRICE,
            balance: 1,
            coupons: campaigns,
            quota: joins.quota,
        },
    )
    .await?;
    let user = Arc::new(AtomicU64::new(1));
    drive(
        &stage,
        &joins.drive,
        "joins of a first-come coupon".to_owned(),
        202,
        |run| {
            let (user, coupon) = (user.clone(), run as u64 + 1);
            Arc::new(move || Ask {
                path: format!(
                    "/api/coupons/{coupon}/issue?userId={}",
                    user.fetch_add(1, Ordering::Relaxed)
                ),
                body: Bytes::from_static(b"{}"),
                key: None,
            })
        },
    )
    .await
}

/// Warm-up, then the measured runs; `expected` is the status that counts as done.
async fn drive(
    stage: &Stage,
    how: &Drive,
    name: String,
    expected: u16,
    next: impl Fn(usize) -> NextRequest,
) -> Result<Report> {
    let load = |seconds, next| {
        closed_loop(
            stage.authority(),
            how.connections,
            Duration::from_secs(seconds),
            next,
        )
    };
    load(how.warm_up_seconds, next(0)).await?;
    let mut runs = Vec::with_capacity(how.runs);
    for run in 1..=how.runs {
        let tally: Tally = load(how.seconds, next(run)).await?;
        let behind_s = stage.oldest_outbox_age_s().await;
        let ended = Instant::now();
        stage.caught_up().await?;
        runs.push(Run::of(&tally, expected, behind_s, ended.elapsed())?);
    }
    let audit = stage.audit().await?;
    Report::new(name, how, stage.describe(), runs, audit)
}
