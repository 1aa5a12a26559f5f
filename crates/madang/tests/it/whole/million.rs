//! The audit of a million orders: that it is clean, and how long it took. Written set by set, as no shop would have the time.

use std::time::Instant;

use messaging::envelope::Identity;
use stores::sql::{Database, Error, notes, within};

use super::audits::{database, execute};
use super::stage::Stage;
use crate::on_both;

const ORDERS: i64 = 1_000_000;
const USERS: i64 = 20_000;
const PRODUCTS: i64 = 1_000;

on_both!(a_million_orders_are_audited; ignored: "takes about 5 minutes");

/// n from 0 to 999,999.
const MILLION: &str =
    "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d AS n
    FROM digits a, digits b, digits c, digits e, digits f, digits g";

/// Each user orders fifty times, one piece for 1,000; the k-th order of all is by user k mod 20,000.
fn fill(now_us: i64) -> Vec<String> {
    let start = ORDERS / USERS * 1_000 + 1_000;
    vec![
        "CREATE TABLE digits (d BIGINT NOT NULL)".into(),
        "INSERT INTO digits (d) VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)".into(),
        format!("UPDATE wallets SET balance = {start} - {} WHERE user_id <= {USERS}", ORDERS / USERS * 1_000),
        format!("UPDATE wallet_ledger SET amount = {start}, balance_after = {start}, id = id + 100000000"),
        format!("INSERT INTO orders (id, user_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancel_owes)
            SELECT n + 1, n % {USERS} + 1, 1000, 0, 1000, 'COMPLETED', {now_us} + n, 7, n + 1, n + 1, 0 FROM ({MILLION}) t"),
        format!("INSERT INTO order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq)
            SELECT n + 1, n + 1, n % {PRODUCTS} + 1, 'thing', 1, 1000, 1000, n + 1 FROM ({MILLION}) t"),
        format!("INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us)
            SELECT n + 1, n % {USERS} + 1, 'PAYMENT', -1000, {start} - 1000 * ((n - n % {USERS}) / {USERS} + 1), n + 1, {now_us} + n FROM ({MILLION}) t"),
        format!("UPDATE products SET stock = stock - {}", ORDERS / PRODUCTS),
    ]
}

async fn note_all(database: &Database, consumer: &str) {
    let all: Vec<i64> = (1..=ORDERS).collect();
    for some in all.chunks(50_000) {
        let identities: Vec<Identity> = some.iter().map(|n| Identity::Seq(*n)).collect();
        let (dialect, identities) = (database.dialect(), &identities);
        within::<_, Error, _>(database, "test", |tx, _| {
            Box::pin(notes::mark(tx, dialect, consumer, identities, 1))
        })
        .await
        .expect("notes");
    }
}

async fn a_million_orders_are_audited(stage: Stage) {
    stage
        .seed(USERS as u32, PRODUCTS as u32, 10_000, 0, 1)
        .await;
    // Serves once, so that there are topics to be asked about.
    let mut shop = stage.settings.start().await.expect("the shop starts");
    assert_eq!(shop.stop().await.expect("it stops"), 0);
    let now_us = jiff::Timestamp::now().as_microsecond();
    for sql in fill(now_us - ORDERS) {
        execute(&stage, &sql).await.expect("a million rows");
    }
    let database = database(&stage).await.expect("the database");
    for consumer in [
        commerce::analytics::CONSUMER,
        commerce::data_platform::CONSUMER,
    ] {
        note_all(&database, consumer).await;
    }
    let rebuilt = Instant::now();
    let run = stage.settings.run(&["ranking", "rebuild"]).await;
    run.expect("it runs").expect_success();
    println!("boards rebuilt in {:.1} s", rebuilt.elapsed().as_secs_f64());
    let started = Instant::now();
    let audit = stage.settings.run(&["audit"]).await.expect("audit runs");
    println!(
        "a million orders audited in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let clean = audit.expect_success();
    assert!(
        clean.stdout.contains("(1000000 examined)"),
        "{}",
        clean.stdout
    );
}
