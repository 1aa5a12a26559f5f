//! Orders of the past: what a shop has after years, written into its tables in large statements before it starts, as if it had placed
//! them and every follow-up had been done. `madang audit` holds for them. Sales lie between a year and a month ago, so that no board is owed.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement};
use testkit::ShopSettings;

use crate::stage::{Seed, connection};

/// Orders a transaction, which is what as many cross-joined digits count up to.
const TOGETHER: u64 = 100_000;
const DIGITS: u32 = 5;
const DAY: Duration = Duration::from_secs(86_400);
const OLDEST: Duration = DAY.saturating_mul(365);
const NEWEST: Duration = DAY.saturating_mul(30);

/// Event numbers a row of `consumer_notes`, one bit each.
const BLOCK: u64 = 65_536;

/// The first number of each series that is free.
struct Firsts {
    order: u64,
    line: u64,
    entry: u64,
    completed: u64,
    ranking: u64,
    platform: u64,
}

/// Writes `orders` (one at least) of one line each into a shop that was filled with `seed` and does not run: users and products in turn.
pub async fn write(settings: &ShopSettings, seed: &Seed, orders: u64) -> Result<()> {
    ensure!(
        orders.div_ceil(seed.users) * seed.price <= seed.balance
            && orders.div_ceil(seed.products) <= seed.stock,
        "{orders} orders of the past are more than the users have money or the products stock for"
    );
    let url = settings.value("MADANG_DATABASE__URL").unwrap_or_else(|| {
        let file = settings.folder().join("madang-data/madang.db");
        format!("sqlite://{}", file.display())
    });
    let past = Past {
        database: connection(&url).await?,
        seed,
        orders,
    };
    past.write().await
}

struct Past<'a> {
    database: DatabaseConnection,
    seed: &'a Seed,
    orders: u64,
}

impl Past<'_> {
    async fn write(&self) -> Result<()> {
        let firsts = Firsts {
            order: self.reserve("order").await?,
            line: self.reserve("order-line").await?,
            entry: self.reserve("wallet-entry").await?,
            completed: self.reserve("event-order-completed").await?,
            ranking: self.reserve("event-product-ranking").await?,
            platform: self.reserve("event-data-platform").await?,
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let first_us = now.saturating_sub(OLDEST).as_micros();
        let step_us = (OLDEST - NEWEST).as_micros() / u128::from(self.orders);
        let sold_us = format!("{first_us} + i * {step_us}");
        let mut from = 0;
        while from < self.orders {
            let to = self.orders.min(from + TOGETHER);
            let text = self.sales(&firsts, &sold_us, &numbers(from, to));
            self.run(&text).await?;
            from = to;
        }
        // Ranking's notes lie with its boards.
        self.note("analytics", firsts.completed).await?;
        self.note("data-platform", firsts.platform).await?;
        self.run(&self.taken()).await?;
        let stored = self.number("SELECT COUNT(*) FROM orders").await?;
        ensure!(
            stored == Some(self.orders),
            "of {} orders of the past {stored:?} are stored",
            self.orders
        );
        Ok(())
    }

    /// The first of as many numbers of the series as there are orders.
    async fn reserve(&self, series: &str) -> Result<u64> {
        let next = format!("SELECT next_value FROM id_blocks WHERE name = '{series}'");
        let first = self.number(&next).await?.unwrap_or(1);
        let after = first + self.orders;
        self.run(&format!(
            "DELETE FROM id_blocks WHERE name = '{series}'; INSERT INTO id_blocks (name, next_value) VALUES ('{series}', {after});"
        ))
        .await?;
        Ok(first)
    }

    /// Orders, lines, payments and the sums by hour.
    fn sales(&self, firsts: &Firsts, sold_us: &str, numbers: &str) -> String {
        let Seed {
            users,
            products,
            price,
            balance,
            ..
        } = self.seed;
        let Firsts {
            order,
            line,
            entry,
            completed,
            ranking,
            platform,
        } = firsts;
        let hour_us = format!("({sold_us}) - ({sold_us}) % 3600000000");
        let add_up = match self.database.get_database_backend() {
            DbBackend::Sqlite => {
                "ON CONFLICT (product_id, hour_us) DO UPDATE SET quantity = sales_hourly.quantity + excluded.quantity, amount = sales_hourly.amount + excluded.amount, orders = sales_hourly.orders + excluded.orders"
            }
            _ => {
                "ON DUPLICATE KEY UPDATE quantity = sales_hourly.quantity + VALUES(quantity), amount = sales_hourly.amount + VALUES(amount), orders = sales_hourly.orders + VALUES(orders)"
            }
        };
        let mut text = format!(
            "INSERT INTO orders (id, user_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancel_owes)
             SELECT {order} + i, i % {users} + 1, {price}, 0, {price}, 'COMPLETED', {sold_us}, 7, {completed} + i, {platform} + i, 0 FROM {numbers};
             INSERT INTO order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq)
             SELECT {order} + i, {line} + i, i % {products} + 1, 'Product of the past', 1, {price}, {price}, {ranking} + i FROM {numbers};
             INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us)
             SELECT {entry} + i, i % {users} + 1, 'PAYMENT', -{price}, {balance} - {price} * ((i - i % {users}) / {users} + 1), {order} + i, {sold_us} FROM {numbers};"
        );
        for product in [format!("i % {products} + 1"), "0".to_owned()] {
            text += &format!(
                "INSERT INTO sales_hourly (product_id, hour_us, quantity, amount, orders)
                 SELECT {product}, {hour_us}, COUNT(*), COUNT(*) * {price}, COUNT(*) FROM {numbers} GROUP BY 1, 2 {add_up};"
            );
        }
        text
    }

    /// What the orders took from wallets and stock: the first few of either have one order more.
    fn taken(&self) -> String {
        let orders = |id: &str, among: u64| {
            let (each, more) = (self.orders / among, self.orders % among);
            format!("CASE WHEN {id} <= {more} THEN {} ELSE {each} END", each + 1)
        };
        format!(
            "UPDATE wallets SET balance = balance - {price} * {by_user}; UPDATE products SET stock = stock - {by_product};",
            price = self.seed.price,
            by_user = orders("user_id", self.seed.users),
            by_product = orders("id", self.seed.products),
        )
    }

    /// Notes the events with these numbers.
    async fn note(&self, consumer: &str, first: u64) -> Result<()> {
        let (mut number, end) = (first, first + self.orders);
        while number < end {
            let block = number / BLOCK;
            let until = end.min((block + 1) * BLOCK);
            let mut bits = vec![0_u8; (BLOCK / 8) as usize];
            for bit in number % BLOCK..=(until - 1) % BLOCK {
                bits[(bit / 8) as usize] |= 1 << (bit % 8);
            }
            let bits: String = bits.iter().map(|byte| format!("{byte:02X}")).collect();
            self.run(&format!(
                "INSERT INTO consumer_notes (consumer, block, bits) VALUES ('{consumer}', {block}, X'{bits}');"
            ))
            .await?;
            number = until;
        }
        Ok(())
    }

    /// All of it or nothing.
    async fn run(&self, statements: &str) -> Result<()> {
        let text = format!("BEGIN; {statements} COMMIT");
        self.database
            .execute_unprepared(&text)
            .await
            .map(|_| ())
            .context("orders of the past")
    }

    async fn number(&self, select: &str) -> Result<Option<u64>> {
        let backend = self.database.get_database_backend();
        let select = Statement::from_string(backend, select);
        let row: Option<QueryResult> = self.database.query_one_raw(select).await?;
        let number: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
        number.map(u64::try_from).transpose().context("a count")
    }
}

/// A table of the numbers `from <= i < to` as its column `i`.
fn numbers(from: u64, to: u64) -> String {
    let digits = (0..10).map(|digit| format!("SELECT {digit} AS d"));
    let digits = digits.collect::<Vec<_>>().join(" UNION ALL ");
    let (mut sum, mut tables) = (from.to_string(), Vec::new());
    for power in 0..DIGITS {
        sum += &format!(" + t{power}.d * {}", 10_u64.pow(power));
        tables.push(format!("({digits}) t{power}"));
    }
    let tables = tables.join(" CROSS JOIN ");
    format!("(SELECT i FROM (SELECT {sum} AS i FROM {tables}) counted WHERE i < {to}) sold")
}
