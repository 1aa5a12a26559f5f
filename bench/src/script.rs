//! What the database alone can do: whole orders written straight into a shop's tables, many a transaction, with nothing before or after it.
//! No request is read, nothing is decided and nobody follows up.

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use crate::stage::connection;

/// Rows of the outbox an order: completed, ranking, data platform.
const EVENTS: [(&str, &str, &str); 3] = [
    ("order-completed-topic", "order.completed", "user"),
    ("product-ranking-topic", "product.sold", "product"),
    ("data-platform-transfer-topic", "data.transfer", "order"),
];

/// What the orders are of.
#[derive(Clone, Copy)]
pub struct Shape {
    pub users: u64,
    pub products: u64,
    pub price: u64,
    pub one_product: bool,
    /// A stored answer with each order.
    pub keys: bool,
    /// Of different users.
    pub orders_per_transaction: u64,
}

pub struct Script {
    database: DatabaseConnection,
    shape: Shape,
    written: u64,
}

/// Of one run.
#[derive(Clone, Copy)]
pub struct Written {
    pub orders: u64,
    pub took: Duration,
}

impl Written {
    pub fn per_second(&self) -> f64 {
        self.orders as f64 / self.took.as_secs_f64().max(1e-6)
    }
}

impl Script {
    /// On a shop's database, which is seeded and which nobody else writes to.
    pub async fn connect(url: &str, shape: Shape) -> Result<Script> {
        let database = connection(url).await?;
        let isolation = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
        database.execute_unprepared(isolation).await?;
        Ok(Script {
            database,
            shape,
            written: 0,
        })
    }

    /// Orders of all runs.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// One transaction after another. Their texts are made meanwhile, on the other core.
    pub async fn run(&mut self, length: Duration) -> Result<Written> {
        let (texts, mut made) = tokio::sync::mpsc::channel(4);
        let (shape, first) = (self.shape, self.written);
        let maker = tokio::task::spawn_blocking(move || {
            let mut next = first;
            while texts.blocking_send(transaction(&shape, next)).is_ok() {
                next += shape.orders_per_transaction;
            }
        });
        let begun = Instant::now();
        let mut orders = 0;
        while begun.elapsed() < length {
            let text = made.recv().await.context("the next transaction")?;
            self.database.execute_unprepared(&text).await?;
            orders += self.shape.orders_per_transaction;
        }
        let took = begun.elapsed();
        drop(made);
        maker.await.context("what makes the texts")?;
        self.written += orders;
        Ok(Written { orders, took })
    }
}

/// All statements of a transaction in one text, its rows in the order of their keys; `first`: orders written before.
fn transaction(shape: &Shape, first: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_us = now.unwrap_or_default().as_micros() as u64;
    let orders: Vec<Order> = (first..first + shape.orders_per_transaction)
        .map(|n| Order::of(shape, n, now_us))
        .collect();
    let mut users: Vec<u64> = orders.iter().map(|it| it.user).collect();
    users.sort_unstable();
    let mut products: Vec<u64> = orders.iter().map(|it| it.product).collect();
    products.sort_unstable();
    let sold: Vec<(u64, usize)> = products
        .chunk_by(|one, other| one == other)
        .map(|same| (same[0], same.len()))
        .collect();
    let users = list(&users);
    let ids = list(&sold.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    let cases: String = sold
        .iter()
        .map(|(id, pieces)| format!(" WHEN {id} THEN {pieces}"))
        .collect();
    format!(
        "START TRANSACTION;\
         SELECT user_id, balance FROM wallets FORCE INDEX (PRIMARY) WHERE user_id IN ({users}) ORDER BY user_id FOR UPDATE;\
         SELECT id, name, price, stock FROM products FORCE INDEX (PRIMARY) WHERE id IN ({ids}) ORDER BY id FOR UPDATE;\
         {inserts}\
         UPDATE wallets FORCE INDEX (PRIMARY) SET balance = balance - {price} WHERE user_id IN ({users});\
         UPDATE products FORCE INDEX (PRIMARY) SET stock = stock - CASE id{cases} END WHERE id IN ({ids});\
         COMMIT",
        inserts = inserts(&orders, shape.keys),
        price = shape.price
    )
}

fn inserts(orders: &[Order], keys: bool) -> String {
    let mut sql = insert(
        "orders (id, user_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancel_owes)",
        orders,
        |it, out| {
            let Order {
                id,
                user,
                price,
                now_us,
                ..
            } = it;
            write!(
                out,
                "{id}, {user}, {price}, 0, {price}, 'COMPLETED', {now_us}, 7, {id}, {id}, 0"
            )
        },
    );
    sql += &insert(
        "order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq)",
        orders,
        |it, out| {
            let Order {
                id, product, price, ..
            } = it;
            write!(
                out,
                "{id}, {id}, {product}, 'product {product}', 1, {price}, {price}, {id}"
            )
        },
    );
    sql += &insert(
        "wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us)",
        orders,
        |it, out| {
            let Order {
                id,
                user,
                price,
                now_us,
                ..
            } = it;
            write!(
                out,
                "{id}, {user}, 'PAYMENT', -{price}, {price}, {id}, {now_us}"
            )
        },
    );
    let events: Vec<(usize, &Order)> = (0..EVENTS.len())
        .flat_map(|event| orders.iter().map(move |order| (event, order)))
        .collect();
    sql += &insert(
        "outbox (shard, id, aggregatetype, aggregateid, type, payload, headers, seq, traceparent, created_us)",
        &events,
        |(event, order), out| order.event(*event, out),
    );
    if keys {
        sql += &stored_answers(orders);
    }
    sql
}

fn stored_answers(orders: &[Order]) -> String {
    insert(
        "idempotency (scope, request_hash, status, location, body, created_us)",
        orders,
        |it, out| {
            let Order {
                id, scope, now_us, ..
            } = it;
            let answer = it.answer();
            write!(
                out,
                "X'{scope:032x}{id:032x}', X'{id:064x}', 201, '/api/orders/{id}', '{answer}', {now_us}"
            )
        },
    )
}

/// Ids below are those of `madang seed`.
const FIRST_ID: u64 = 1_000_000_000;

struct Order {
    id: u64,
    user: u64,
    product: u64,
    price: u64,
    scope: u128,
    now_us: u64,
}

impl Order {
    fn of(shape: &Shape, n: u64, now_us: u64) -> Order {
        Order {
            id: FIRST_ID + n,
            user: n % shape.users + 1,
            product: if shape.one_product {
                1
            } else {
                n % shape.products + 1
            },
            price: shape.price,
            scope: fastrand::u128(..),
            now_us,
        }
    }

    fn answer(&self) -> String {
        format!(
            "{{\"id\":{},\"userId\":{},\"status\":\"COMPLETED\",\"totalAmount\":{price},\"discountAmount\":0,\"discountedAmount\":{price},\"orderItems\":[{}],\"createdAt\":{}}}",
            self.id,
            self.user,
            self.item(),
            self.now_us,
            price = self.price
        )
    }

    fn item(&self) -> String {
        format!(
            "{{\"id\":{},\"productId\":{product},\"productName\":\"product {product}\",\"quantity\":1,\"unitPrice\":{price},\"totalPrice\":{price}}}",
            self.id,
            product = self.product,
            price = self.price
        )
    }

    /// A row of the outbox, about as large as the shop's.
    fn event(&self, event: usize, out: &mut String) -> std::fmt::Result {
        let (topic, kind, key) = EVENTS[event];
        let number = self.id * 4 + event as u64;
        let payload = if event == 1 {
            self.item()
        } else {
            self.answer()
        };
        write!(
            out,
            "{}, '019ad000-0000-7000-8{:03x}-{:012x}', '{topic}', '{key}-{}', '{kind}', '{payload}', NULL, {}, '00-{:032x}-{:016x}-01', {}",
            self.user % 4,
            number >> 48,
            number & 0xffff_ffff_ffff,
            self.user,
            self.id,
            self.scope,
            number,
            self.now_us
        )
    }
}

fn insert<T>(into: &str, rows: &[T], row: impl Fn(&T, &mut String) -> std::fmt::Result) -> String {
    let mut sql = format!("INSERT INTO {into} VALUES ");
    for (n, values) in rows.iter().enumerate() {
        sql.push_str(if n == 0 { "(" } else { "), (" });
        // Writing to a string does not fail.
        let _ = row(values, &mut sql);
    }
    sql.push_str(");");
    sql
}

fn list(numbers: &[u64]) -> String {
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_of_different_users_and_all_pieces_are_taken() {
        let shape = Shape {
            users: 10,
            products: 3,
            price: 1_000,
            one_product: false,
            keys: true,
            orders_per_transaction: 7,
        };
        let sql = transaction(&shape, 5);
        assert!(sql.contains("user_id IN (1, 2, 6, 7, 8, 9, 10)"), "{sql}");
        // Of orders 5 to 11: products 3, 1, 2, 3, 1, 2, 3.
        let sold = "stock - CASE id WHEN 1 THEN 2 WHEN 2 THEN 2 WHEN 3 THEN 3 END";
        assert!(sql.contains(sold), "{sql}");
        assert_eq!(sql.matches("019ad000-").count(), 21);
        let one = Shape {
            one_product: true,
            keys: false,
            ..shape
        };
        let sql = transaction(&one, 0);
        assert!(sql.contains("CASE id WHEN 1 THEN 7 END"), "{sql}");
        assert!(!sql.contains("idempotency"));
    }
}
