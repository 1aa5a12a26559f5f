//! The audit: a small shop in order is clean; each kind of damage is named by its check and by nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::clock::{Clock, from_us};
use commerce::coupon::AuditFacts;
use commerce::ids::ProductId;
use commerce::ranking::ports::{Card, Shelf};
use commerce::ranking::{Ports, Rankings};
use messaging::envelope::Identity;
use messaging::outbox::{Event, Packing};
use sea_orm::ConnectionTrait;
use stores::audit::{self, Boards, Noted, Outside, Report, Still};
use stores::embedded::board::SqlBoard;
use stores::sql::coupons::SqlCoupons;
use stores::sql::ranking::SqlSalesHistory;
use stores::sql::{Database, Error, notes, within};

use crate::backends::{Backend, on_both};
use crate::outbox;

on_both!(
    a_shop_in_order_is_clean,
    each_kind_of_damage_is_named,
    what_is_under_way_is_no_difference,
    a_number_that_two_events_share_is_said_to_be,
    differences_are_counted_past_those_listed,
);

/// 2026-11-22 12:00 UTC.
const NOW_US: i64 = 1_795_348_800_000_000;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> jiff::Timestamp {
        from_us(NOW_US)
    }
}

struct Bare;

#[async_trait]
impl Shelf for Bare {
    async fn cards(&self, _: &[ProductId]) -> Result<Vec<Card>, StoreError> {
        Ok(Vec::new())
    }
}

/// Two products, a campaign, one order with a coupon and one cancelled.
const SHOP: [&str; 13] = [
    "INSERT INTO products (id, name, price, stock, status, created_us, updated_us) VALUES (1, 'tea', 100, 97, 'ON_SALE', 0, 0), (2, 'cup', 100, 99, 'ON_SALE', 0, 0)",
    "INSERT INTO stock_ledger (id, product_id, kind, order_id, delta, created_us) VALUES (1, 1, 'SEED', NULL, 100, 0), (2, 2, 'SEED', NULL, 100, 0)",
    "INSERT INTO stock_ledger (id, product_id, kind, order_id, delta, created_us) VALUES (3, 1, 'CANCEL', 2, 2, 0)",
    "INSERT INTO coupons (id, name, discount_amount, min_order_amount, quota, issued, claim_from_us, claim_to_us, expires_us, state, issue_mode, epoch, base, slots, ceiling, opened_epoch, version, created_us, updated_us) VALUES (7, 'ten', 100, 0, 10, 1, 0, 9, 9, 'OPEN', 'QUEUE', 1, 0, 10, 10, 1, 1, 0, 0)",
    "INSERT INTO user_coupons (id, coupon_id, user_id, epoch, sequence, status, order_id, issued_us, used_us) VALUES (5, 7, 1, 1, 1, 'USED', 1, 0, 0)",
    "INSERT INTO orders (id, user_id, user_coupon_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancel_owes) VALUES (1, 1, 5, 400, 100, 300, 'COMPLETED', 1795348700000000, 7, 1, 1, 0)",
    "INSERT INTO orders (id, user_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancelled_us, cancel_owes, cancel_completed_seq, cancel_data_platform_seq) VALUES (2, 1, 200, 0, 200, 'CANCELLED', 1795348700000000, 7, 2, 2, 1795348800000000, 7, 3, 3)",
    "INSERT INTO order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq) VALUES (1, 1, 1, 'tea', 1, 100, 100, 1), (1, 2, 1, 'tea', 2, 100, 200, NULL), (1, 3, 2, 'cup', 1, 100, 100, 2)",
    "INSERT INTO order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq, cancel_ranking_seq) VALUES (2, 4, 1, 'tea', 2, 100, 200, 3, 4)",
    "INSERT INTO wallets (user_id, balance) VALUES (1, 700), (2, 0)",
    "INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us) VALUES (1, 1, 'CHARGE', 1000, 1000, NULL, 0)",
    "INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us) VALUES (2, 1, 'PAYMENT', -300, 700, 1, 0), (3, 1, 'PAYMENT', -200, 500, 2, 0)",
    "INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us) VALUES (4, 1, 'REFUND', 200, 700, 2, 0)",
];

/// A statement that does damage, one that undoes it, the check that names it, and the subject it names.
const DAMAGE: [(&str, &str, &str, &str); 14] = [
    (
        "UPDATE products SET stock = 98 WHERE id = 1",
        "UPDATE products SET stock = 97 WHERE id = 1",
        "stock",
        "product 1",
    ),
    (
        "INSERT INTO stock_ledger (id, product_id, kind, delta, created_us) VALUES (9, 8, 'SEED', 1, 0)",
        "DELETE FROM stock_ledger WHERE id = 9",
        "products of the ledger",
        "product 8",
    ),
    (
        "UPDATE order_lines SET total_price = 99, quantity = 1 WHERE order_id = 1 AND id = 3",
        "UPDATE order_lines SET total_price = 100 WHERE order_id = 1 AND id = 3",
        "order lines",
        "order 1 line 3",
    ),
    (
        "UPDATE orders SET discount_amount = 99 WHERE id = 1",
        "UPDATE orders SET discount_amount = 100 WHERE id = 1",
        "order discounts",
        "order 1",
    ),
    (
        "UPDATE stock_ledger SET delta = 1 WHERE id = 3",
        "UPDATE stock_ledger SET delta = 2 WHERE id = 3",
        "stock given back",
        "cancelled order 2, product 1",
    ),
    (
        "UPDATE stock_ledger SET order_id = 1 WHERE id = 3",
        "UPDATE stock_ledger SET order_id = 2 WHERE id = 3",
        "stock given back for a reason",
        "stock entry 3",
    ),
    (
        "UPDATE coupons SET issued = 2",
        "UPDATE coupons SET issued = 1",
        "campaigns",
        "coupon 7",
    ),
    (
        "UPDATE user_coupons SET sequence = 11",
        "UPDATE user_coupons SET sequence = 1",
        "campaigns",
        "coupon 7",
    ),
    (
        "UPDATE user_coupons SET order_id = 2",
        "UPDATE user_coupons SET order_id = 1",
        "used coupons",
        "held coupon 5 of user 1",
    ),
    (
        "UPDATE user_coupons SET status = 'AVAILABLE', order_id = NULL",
        "UPDATE user_coupons SET status = 'USED', order_id = 1",
        "orders with a coupon",
        "order 1",
    ),
    (
        "UPDATE wallets SET balance = 701 WHERE user_id = 1",
        "UPDATE wallets SET balance = 700 WHERE user_id = 1",
        "balances",
        "wallet of user 1",
    ),
    (
        "UPDATE wallet_ledger SET balance_after = 600 WHERE id = 2",
        "UPDATE wallet_ledger SET balance_after = 700 WHERE id = 2",
        "chain of balances",
        "wallet of user 1",
    ),
    (
        "UPDATE wallet_ledger SET kind = 'CHARGE' WHERE id = 4",
        "UPDATE wallet_ledger SET kind = 'REFUND' WHERE id = 4",
        "refunds",
        "cancelled order 2",
    ),
    (
        "UPDATE wallet_ledger SET order_id = 77 WHERE id = 2",
        "UPDATE wallet_ledger SET order_id = 1 WHERE id = 2",
        "payments",
        "order 1",
    ),
];

/// Damage to events and boards.
const LATER_DAMAGE: [(&str, &str, &str, &str); 6] = [
    (
        "UPDATE orders SET completed_seq = 1 WHERE id = 2",
        "UPDATE orders SET completed_seq = 2 WHERE id = 2",
        "notes of the analytics",
        "order 2",
    ),
    (
        "UPDATE order_lines SET cancel_ranking_seq = 1 WHERE id = 4",
        "UPDATE order_lines SET cancel_ranking_seq = 4 WHERE id = 4",
        "numbers of the ranking",
        "number 1 of the ranking",
    ),
    (
        "UPDATE orders SET completed_seq = 9 WHERE id = 1",
        "UPDATE orders SET completed_seq = 1 WHERE id = 1",
        "notes of the analytics",
        "order 1",
    ),
    (
        "UPDATE orders SET cancel_data_platform_seq = NULL WHERE id = 2",
        "UPDATE orders SET cancel_data_platform_seq = 3 WHERE id = 2",
        "receipts of the data platform",
        "cancel of order 2",
    ),
    (
        "UPDATE order_lines SET ranking_seq = NULL WHERE id = 3",
        "UPDATE order_lines SET ranking_seq = 2 WHERE id = 3",
        "numbers of the ranking",
        "order 1",
    ),
    (
        "UPDATE ranking_scores SET quantity = quantity + 1 WHERE product_id = 2",
        "UPDATE ranking_scores SET quantity = quantity - 1 WHERE product_id = 2",
        "ranking boards",
        "board of 2026-11-22, product 2",
    ),
];

async fn execute(db: &Database, sql: &str) {
    let statement = db.statement(sql, vec![]);
    db.writer().execute_raw(statement).await.unwrap();
}

async fn note(db: &Database, consumer: &str, numbers: &[i64]) {
    let identities: Vec<_> = numbers.iter().map(|n| Identity::Seq(*n)).collect();
    let identities = identities.as_slice();
    within::<_, Error, _>(db, "test", |tx, _| {
        Box::pin(notes::mark(tx, db.dialect(), consumer, identities, 0))
    })
    .await
    .unwrap();
}

/// The shop with its boards built and its events consumed.
async fn shop(backend: &Backend) -> (Database, Arc<Rankings>) {
    let db = backend.connect().await;
    for sql in SHOP {
        execute(&db, sql).await;
    }
    for consumer in ["analytics", "data-platform"] {
        note(&db, consumer, &[1, 2, 3]).await;
    }
    let ports = Ports {
        board: Arc::new(SqlBoard::new(
            db.clone(),
            stores::embedded::board::Settings::default(),
        )),
        history: Arc::new(SqlSalesHistory::new(db.clone())),
        shelf: Arc::new(Bare),
        clock: Arc::new(Noon),
    };
    let rankings = Rankings::new(ports, commerce::ranking::Settings::default());
    rankings.rebuild_all().await.unwrap();
    (db, Arc::new(rankings))
}

async fn audited(db: &Database, rankings: &Rankings, dead: &[(Noted, i64)]) -> Report {
    let facts = facts(db).await;
    let outside = Outside {
        coupons: &facts,
        boards: Some(Boards {
            rankings,
            arrival: &Still,
        }),
        dead: dead.iter().copied().collect::<BTreeSet<_>>(),
        ..Outside::default()
    };
    let settings = audit::Settings {
        page: 1,
        ..audit::Settings::default()
    };
    audit::run(db, &outside, &settings).await.unwrap()
}

async fn facts(db: &Database) -> Vec<AuditFacts> {
    use commerce::coupon::Store as _;
    SqlCoupons::new(db.clone()).audit(&[]).await.unwrap()
}

/// Names and subjects of what differs.
fn named(report: &Report) -> Vec<(&str, Vec<&str>)> {
    let wrong = report.checks.iter().filter(|c| c.differences > 0);
    wrong
        .map(|c| {
            (
                c.name,
                c.listed.iter().map(|d| d.subject.as_str()).collect(),
            )
        })
        .collect()
}

async fn a_shop_in_order_is_clean(backend: &Backend) {
    let (db, rankings) = shop(backend).await;
    let report = audited(&db, &rankings, &[]).await;
    assert!(report.is_clean(), "{report:#?}");
    let examined = |name| {
        report
            .checks
            .iter()
            .find(|c| c.name == name)
            .unwrap()
            .examined
    };
    assert_eq!(examined("stock"), 2);
    assert_eq!(examined("notes of the analytics"), 3);
    assert_eq!(examined("numbers of the ranking"), 2);
    assert_eq!(examined("ranking boards"), 2);
    assert!(
        report.checks.iter().all(|c| c.remarks.is_empty()),
        "{report:#?}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["checks"][0]["invariant"], "I1");
}

async fn each_kind_of_damage_is_named(backend: &Backend) {
    let (db, rankings) = shop(backend).await;
    for (damage, undo, check, subject) in DAMAGE.iter().chain(&LATER_DAMAGE) {
        execute(&db, damage).await;
        let report = audited(&db, &rankings, &[]).await;
        let found = named(&report);
        let named = found.iter().find(|(name, _)| name == check);
        let subjects = named.map_or(&[][..], |(_, subjects)| subjects);
        assert!(subjects.contains(subject), "{damage}: {found:?}");
        execute(&db, undo).await;
    }
    let report = audited(&db, &rankings, &[]).await;
    assert!(report.is_clean(), "{report:#?}");
}

/// Events of these numbers, in one row of the outbox.
async fn waits(db: &Database, numbers: &[i64]) {
    let event = |number: &i64| Event {
        seq: Some(*number),
        ..outbox::event(0, "2")
    };
    let rows = Packing::default().rows(numbers.iter().map(event).collect());
    assert_eq!(rows.len(), 1);
    outbox::write(db, &rows).await;
}

async fn what_is_under_way_is_no_difference(backend: &Backend) {
    let (db, rankings) = shop(backend).await;
    execute(
        &db,
        "DELETE FROM consumer_notes WHERE consumer = 'analytics'",
    )
    .await;
    note(&db, "analytics", &[1]).await;
    // Alone in its row, and beside another.
    for numbers in [&[2][..], &[900, 2]] {
        execute(&db, "DELETE FROM outbox").await;
        waits(&db, numbers).await;
        let report = audited(&db, &rankings, &[(Noted::Analytics, 3)]).await;
        assert!(report.is_clean(), "{report:#?}");
        let mut checks = report.checks.iter();
        let check = checks.find(|c| c.name == "notes of the analytics");
        let remarks = &check.unwrap().remarks;
        assert_eq!(remarks[0], "1 events pending in the outbox");
        assert_eq!(remarks[1], "1 events dead-lettered, of orders [2]");
    }
    let missing = audited(&db, &rankings, &[]).await;
    assert_eq!(
        named(&missing),
        [("notes of the analytics", vec!["cancel of order 2"])]
    );
    note(&db, "data-platform", &[70_000]).await;
    let report = audited(&db, &rankings, &[(Noted::Analytics, 3)]).await;
    let phantom = (
        "receipts of the data platform",
        vec!["note of number 70000"],
    );
    assert_eq!(named(&report), [phantom]);
}

async fn a_number_that_two_events_share_is_said_to_be(backend: &Backend) {
    let (db, rankings) = shop(backend).await;
    execute(&db, "UPDATE orders SET completed_seq = 3 WHERE id = 1").await;
    let report = audited(&db, &rankings, &[]).await;
    let check = report
        .checks
        .iter()
        .find(|c| c.name == "notes of the analytics");
    let listed = &check.unwrap().listed;
    assert_eq!(listed[0].subject, "cancel of order 2");
    assert_eq!(listed[0].found, "number 3, another event's too");
}

async fn differences_are_counted_past_those_listed(backend: &Backend) {
    let (db, rankings) = shop(backend).await;
    execute(&db, "UPDATE products SET stock = stock + 1").await;
    let facts = facts(&db).await;
    let outside = Outside {
        coupons: &facts,
        boards: Some(Boards {
            rankings: &rankings,
            arrival: &Still,
        }),
        ..Outside::default()
    };
    let settings = audit::Settings {
        listed_max: 1,
        ..audit::Settings::default()
    };
    let report = audit::run(&db, &outside, &settings).await.unwrap();
    assert_eq!(
        (report.checks[0].differences, report.checks[0].listed.len()),
        (2, 1)
    );
    assert_eq!(report.checks[0].listed[0].expected, "stock 97");
    assert_eq!(report.checks[0].listed[0].found, "stock 98");
    assert_eq!(report.differences(), 2);
}
