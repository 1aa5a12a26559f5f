//! A small shop for the suites of orders: products 1 to 5, users 1 to 9, coupons of user 1; and what must always add up.
//! Everything goes through `Orders`, as requests do.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use commerce::amount::Quantity;
use commerce::answer::{Answer, Answered, Claim};
use commerce::clock::SystemClock;
use commerce::ids::{Allocator, OrderId, ProductId, UserCouponId, UserId};
use commerce::order::{
    Error, Events, FollowUp, FollowUps, InlineFollowUps, Line, Lines, Orders, Outlet, Settings,
};
use messaging::outbox::relay::Wake;
use messaging::outbox::{Event, Packing, Store};
use parking_lot::Mutex;
use sea_orm::ConnectionTrait;
use serde_json::Value;
use stores::sql::Database;
use stores::sql::orders::SqlOrders;
use stores::sql::outbox::Outbox;

use crate::backends::Backend;

pub const STOCK: i64 = 100;
pub const BALANCE: i64 = 1_000_000;

/// One process of the shop.
pub struct Shop {
    pub db: Database,
    pub orders: Arc<Orders>,
    pub inline: Arc<Inline>,
}

/// Remembers what it was given; fails the data platform while `refuse` is set.
#[derive(Default)]
pub struct Inline {
    pub steps: Mutex<Vec<(FollowUp, usize)>>,
    pub refuse: Mutex<bool>,
}

#[async_trait]
impl InlineFollowUps for Inline {
    async fn run(&self, step: FollowUp, events: &[Event]) -> Result<(), String> {
        self.steps.lock().push((step, events.len()));
        match step {
            FollowUp::DataPlatform if *self.refuse.lock() => Err("refused".into()),
            _ => Ok(()),
        }
    }
}

impl Shop {
    /// A process with the defaults.
    pub async fn open(backend: &Backend) -> Self {
        Self::with(backend.connect().await, FollowUps::default())
    }

    pub fn with(db: Database, follow_ups: FollowUps) -> Self {
        let inline = Arc::<Inline>::default();
        let outlet = Outlet::new(Events::default(), follow_ups, inline.clone());
        let orders = Orders::new(
            Arc::new(SqlOrders::new(
                db.clone(),
                Wake::new(4, 0),
                Packing::default(),
            )),
            Arc::new(Allocator::new(Arc::new(db.clone()), 1_000)),
            Arc::new(SystemClock),
            outlet,
            Settings::default(),
        );
        Self {
            db,
            orders: Arc::new(orders),
            inline,
        }
    }

    /// Orders `(product, quantity)` lines for a user.
    pub async fn try_order(
        &self,
        user: i64,
        lines: &[(i64, i64)],
        coupon: Option<i64>,
        claim: Option<Claim>,
    ) -> Result<Answered, Error> {
        let lines = lines.iter().map(|(product, quantity)| Line {
            product_id: ProductId::try_from(*product).unwrap(),
            quantity: Quantity::try_from(*quantity).unwrap(),
        });
        let lines = Lines::try_from(lines.collect::<Vec<_>>()).unwrap();
        let coupon = coupon.map(|c| UserCouponId::try_from(c).unwrap());
        let trace = Some(TRACE.to_owned());
        self.orders
            .place(user_id(user), lines, coupon, trace, claim)
            .await
    }

    /// Status and body of an order that was decided just now.
    pub async fn order(
        &self,
        user: i64,
        lines: &[(i64, i64)],
        coupon: Option<i64>,
    ) -> (u16, Value) {
        fresh(self.try_order(user, lines, coupon, None).await.unwrap())
    }

    pub async fn cancel(&self, order: i64, user: i64, claim: Option<&Claim>) -> Answered {
        let order = OrderId::try_from(order).unwrap();
        let owner = Some(user_id(user));
        let answered = self.orders.cancel(order, owner, None, claim).await;
        answered.unwrap()
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.numbers(sql).await[0]
    }

    /// The first column of every row.
    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        let rows = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, vec![]));
        let rows = rows.await.unwrap();
        rows.iter().map(|r| r.try_get_by(0).unwrap()).collect()
    }

    /// The first column of every row, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, vec![]));
        let rows = rows.await.unwrap();
        rows.iter().map(|r| r.try_get_by(0).unwrap()).collect()
    }

    pub async fn run(&self, sql: &str) {
        let done = self.db.writer().execute_raw(self.db.statement(sql, vec![]));
        done.await.unwrap();
    }

    pub async fn stock(&self, product: i64) -> i64 {
        self.number(&format!("SELECT stock FROM products WHERE id = {product}"))
            .await
    }

    pub async fn balance(&self, user: i64) -> i64 {
        self.number(&format!(
            "SELECT balance FROM wallets WHERE user_id = {user}"
        ))
        .await
    }

    /// I1 and I3 on the whole shop: every stock and every balance is explained by its rows.
    pub async fn assert_adds_up(&self) {
        let wrong_stock = format!(
            "SELECT p.id FROM products p WHERE p.stock <> {STOCK}
             - (SELECT COALESCE(SUM(l.quantity), 0) FROM order_lines l WHERE l.product_id = p.id)
             + (SELECT COALESCE(SUM(s.delta), 0) FROM stock_ledger s WHERE s.product_id = p.id)"
        );
        assert_eq!(self.numbers(&wrong_stock).await, [0; 0], "products");
        let wrong_balance = format!(
            "SELECT w.user_id FROM wallets w WHERE w.balance <> {BALANCE}
             + (SELECT COALESCE(SUM(l.amount), 0) FROM wallet_ledger l WHERE l.user_id = w.user_id)"
        );
        assert_eq!(self.numbers(&wrong_balance).await, [0; 0], "wallets");
        let unpaid = "SELECT o.id FROM orders o LEFT JOIN wallet_ledger l ON l.order_id = o.id AND l.kind = 'PAYMENT'
             WHERE o.discounted_amount > 0 AND (l.id IS NULL OR l.amount <> -o.discounted_amount)";
        assert_eq!(self.numbers(unpaid).await, [0; 0], "unpaid orders");
        let wrong_total = "SELECT o.id FROM orders o WHERE o.total_amount <>
             (SELECT COALESCE(SUM(l.total_price), 0) FROM order_lines l WHERE l.order_id = o.id)";
        assert_eq!(self.numbers(wrong_total).await, [0; 0], "totals");
    }

    /// What waits in the outbox, in order of id.
    pub async fn events(&self) -> Vec<Event> {
        let outbox = Outbox::new(self.db.clone());
        let mut events = Vec::new();
        for shard in 0..4 {
            let page = outbox.head(shard, None, 10_000, &HashSet::new()).await;
            events.extend(page.unwrap().rows.into_iter().flat_map(|row| row.events));
        }
        events.sort_by_key(|event| event.id);
        events
    }

    /// Rows that only accepted orders write.
    pub async fn traces(&self) -> i64 {
        self.number(
            "SELECT (SELECT COUNT(*) FROM orders) + (SELECT COUNT(*) FROM order_lines)
             + (SELECT COUNT(*) FROM wallet_ledger) + (SELECT COUNT(*) FROM outbox)
             + (SELECT COUNT(*) FROM user_coupons WHERE status <> 'AVAILABLE')",
        )
        .await
    }
}

pub const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Product n costs n * 1,000 with a stock of `STOCK`; 4 is stopped. Users have `BALANCE`.
/// Coupons of user 1, 500 off: 11 plain, 12 expired, 13 from 50,000 up, 14 (of campaign 4) 5,000 off.
pub async fn filled(backend: &Backend) -> Shop {
    let shop = Shop::open(backend).await;
    for id in 1..=5 {
        let status = if id == 4 { "STOPPED" } else { "ON_SALE" };
        shop.run(&format!(
            "INSERT INTO products (id, name, price, stock, status, created_us, updated_us) VALUES ({id}, 'product {id}', {id}000, {STOCK}, '{status}', 0, 0)"
        ))
        .await;
    }
    for user in 1..=9 {
        shop.run(&format!(
            "INSERT INTO wallets (user_id, balance) VALUES ({user}, {BALANCE})"
        ))
        .await;
    }
    let far = 4_000_000_000_000_000_i64;
    for (campaign, off, minimum, expires) in [
        (1, 500, 0, far),
        (2, 500, 0, 1),
        (3, 500, 50_000, far),
        (4, 5_000, 0, far),
    ] {
        shop.run(&format!(
            "INSERT INTO coupons (id, name, discount_amount, min_order_amount, quota, issued, claim_from_us, claim_to_us, expires_us, state, issue_mode, epoch, base, slots, ceiling, opened_epoch, version, created_us, updated_us)
             VALUES ({campaign}, 'campaign', {off}, {minimum}, 10, 1, 0, {far}, {expires}, 'OPEN', 'QUEUE', 1, 0, 10, 10, 1, 1, 0, 0)"
        ))
        .await;
        shop.run(&format!(
            "INSERT INTO user_coupons (id, coupon_id, user_id, epoch, sequence, status, issued_us) VALUES (1{campaign}, {campaign}, 1, 1, 1, 'AVAILABLE', 0)"
        ))
        .await;
    }
    shop
}

pub fn user_id(id: i64) -> UserId {
    UserId::try_from(id).unwrap()
}

pub fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[track_caller]
pub fn fresh(answered: Answered) -> (u16, Value) {
    match answered {
        Answered::Fresh(answer) => (answer.status, body(&answer)),
        other => panic!("not decided just now: {other:?}"),
    }
}
