//! The rows of placed orders, in few statements of few shapes: inserts of many rows, and one guarded UPDATE for many keys.
//! What is written was decided under lock; a guard that fails is a defect, and rolls back.

use std::collections::BTreeMap;

use commerce::order::{OrderLine, Payment, Placement, Turn};
use commerce::wallet::EntryKind;
use sea_orm::{ConnectionTrait, Value};

use crate::sql::dialect::{chunks, list, rows};
use crate::sql::{Dialect, Error, Transaction};

/// Rows a statement.
const ROWS_MAX: usize = 64;

/// Everything that placements write but outbox rows and idempotency records. `owes`: the steps they owe by event.
pub(super) async fn placements(
    tx: &Transaction,
    dialect: Dialect,
    placed: &[&Placement],
    owes: i16,
) -> Result<(), Error> {
    let turns: Vec<&Turn> = placed.iter().map(|p| &p.turn).collect();
    insert(tx, dialect, ORDERS, &turns, |turn| order_row(turn, owes)).await?;
    let lines: Vec<_> = turns.iter().flat_map(|turn| numbered_lines(turn)).collect();
    insert(tx, dialect, LINES, &lines, line_row).await?;

    let payments = placed.iter().filter_map(|p| Some((&p.turn, p.payment?)));
    let payments: Vec<_> = payments.collect();
    insert(tx, dialect, LEDGER, &payments, |(turn, payment)| {
        ledger_row(turn, payment, EntryKind::Payment)
    })
    .await?;
    // In order of arrival, so that the last one's balance stays.
    let balances: BTreeMap<i64, i64> = payments
        .iter()
        .map(|(turn, payment)| (turn.order.user_id.get(), payment.balance_after.get()))
        .collect();
    let set_balance = Keyed {
        table: "wallets",
        key: "user_id",
        column: "balance",
        relative: "",
        guard: None,
    };
    set_balance.update(tx, dialect, balances).await?;

    let mut sold: BTreeMap<i64, i64> = BTreeMap::new();
    for line in turns.iter().flat_map(|turn| &turn.order.order_items) {
        *sold.entry(line.product_id.get()).or_default() += line.quantity.get();
    }
    TAKE_STOCK.update(tx, dialect, sold).await?;
    use_coupons(tx, dialect, &turns).await
}

/// `products.stock` falls by the values. That it stays at 0 or above is a CHECK of the table.
const TAKE_STOCK: Keyed<'static> = Keyed {
    table: "products",
    key: "id",
    column: "stock",
    relative: "stock - ",
    guard: None,
};

/// Head and number of columns of an INSERT.
type Head = (&'static str, usize);

const ORDERS: Head = (
    "INSERT INTO orders (id, user_id, user_coupon_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancel_owes)",
    12,
);
const LINES: Head = (
    "INSERT INTO order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq)",
    8,
);
pub(super) const LEDGER: Head = (
    "INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us)",
    7,
);

fn order_row(turn: &Turn, owes: i16) -> Vec<Value> {
    let order = &turn.order;
    vec![
        order.id.get().into(),
        order.user_id.get().into(),
        order.user_coupon_id.map(|c| c.get()).into(),
        order.total_amount.get().into(),
        order.discount_amount.get().into(),
        order.discounted_amount.get().into(),
        order.status.word().into(),
        turn.at.as_microsecond().into(),
        owes.into(),
        turn.numbers.completed.into(),
        turn.numbers.data_platform.into(),
        0_i16.into(),
    ]
}

/// The order's lines, the first of each product with the number of the product's event.
fn numbered_lines(turn: &Turn) -> Vec<(&Turn, &OrderLine, Option<i64>)> {
    let mut numbers = turn.numbers.ranking.iter();
    let lines = &turn.order.order_items;
    let first = |at: usize| {
        lines[..at]
            .iter()
            .all(|l| l.product_id != lines[at].product_id)
    };
    let numbered = lines.iter().enumerate().map(|(at, line)| {
        let number = if first(at) { numbers.next() } else { None };
        (turn, line, number.copied())
    });
    numbered.collect()
}

fn line_row((turn, line, ranking_seq): &(&Turn, &OrderLine, Option<i64>)) -> Vec<Value> {
    vec![
        turn.order.id.get().into(),
        line.id.get().into(),
        line.product_id.get().into(),
        line.product_name.as_str().into(),
        line.quantity.get().into(),
        line.unit_price.get().into(),
        line.total_price.get().into(),
        (*ranking_seq).into(),
    ]
}

pub(super) fn ledger_row(turn: &Turn, payment: &Payment, kind: EntryKind) -> Vec<Value> {
    let sign = if kind == EntryKind::Payment { -1 } else { 1 };
    vec![
        payment.entry_id.into(),
        turn.order.user_id.get().into(),
        kind.word().into(),
        (sign * payment.amount.get()).into(),
        payment.balance_after.get().into(),
        turn.order.id.get().into(),
        turn.at.as_microsecond().into(),
    ]
}

/// Inserts all items, `ROWS_MAX` a statement at most.
pub(super) async fn insert<T>(
    tx: &Transaction,
    dialect: Dialect,
    (head, columns): Head,
    items: &[T],
    row: impl Fn(&T) -> Vec<Value>,
) -> Result<(), Error> {
    let mut rest = items;
    for size in chunks(items.len(), ROWS_MAX) {
        let (now, later) = rest.split_at(size);
        rest = later;
        let sql = format!("{head} VALUES {}", rows(size, columns));
        let values = now.iter().flat_map(&row).collect();
        tx.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(())
}

/// One UPDATE that sets a column to another value in each row, told apart by their key.
pub(super) struct Keyed<'a> {
    pub table: &'a str,
    pub key: &'a str,
    pub column: &'a str,
    /// Before the value: `stock - ` takes it away; empty sets it.
    pub relative: &'a str,
    /// What must hold besides the key, with its value.
    pub guard: Option<(&'a str, i64)>,
}

impl Keyed<'_> {
    /// `values` by key. Every row must be there.
    pub(super) async fn update(
        &self,
        tx: &Transaction,
        dialect: Dialect,
        values: BTreeMap<i64, i64>,
    ) -> Result<(), Error> {
        let values: Vec<(i64, i64)> = values.into_iter().collect();
        let mut rest = values.as_slice();
        for size in chunks(values.len(), ROWS_MAX) {
            let (now, later) = rest.split_at(size);
            rest = later;
            let cases = now.iter().flat_map(|(key, value)| [*key, *value]);
            let keys = now.iter().map(|(key, _)| *key);
            let guard = self.guard.map(|(_, value)| value);
            let values = cases.chain(keys).chain(guard).map(Into::into).collect();
            let statement = dialect.statement(self.sql(dialect, size), values);
            let done = tx.execute_raw(statement).await?;
            if done.rows_affected() != size as u64 {
                return Err(Error::guard(self.table));
            }
        }
        Ok(())
    }

    fn sql(&self, dialect: Dialect, size: usize) -> String {
        let Self {
            table,
            key,
            column,
            relative,
            guard,
        } = self;
        let guard = guard.map_or(String::new(), |(guard, _)| format!(" AND {guard} = ?"));
        format!(
            "UPDATE {table}{} SET {column} = {relative}CASE {key}{} END WHERE {key} IN ({}){guard}",
            dialect.force_primary(),
            " WHEN ? THEN ?".repeat(size),
            list(size)
        )
    }
}

async fn use_coupons(tx: &Transaction, dialect: Dialect, turns: &[&Turn]) -> Result<(), Error> {
    let used = turns.iter().filter_map(|turn| {
        let coupon = turn.order.user_coupon_id?;
        Some([coupon.get(), turn.order.id.get(), turn.at.as_microsecond()])
    });
    let mut used: Vec<_> = used.collect();
    used.sort_unstable();
    let mut rest = used.as_slice();
    for size in chunks(used.len(), ROWS_MAX) {
        let (now, later) = rest.split_at(size);
        rest = later;
        let cases = " WHEN ? THEN ?".repeat(size);
        let sql = format!(
            "UPDATE user_coupons{} SET status = 'USED', order_id = CASE id{cases} END, used_us = CASE id{cases} END WHERE id IN ({}) AND status = 'AVAILABLE'",
            dialect.force_primary(),
            list(size)
        );
        let orders = now.iter().flat_map(|[coupon, order, _]| [*coupon, *order]);
        let times = now.iter().flat_map(|[coupon, _, at]| [*coupon, *at]);
        let coupons = now.iter().map(|[coupon, ..]| *coupon);
        let values = orders.chain(times).chain(coupons).map(Into::into).collect();
        let done = tx.execute_raw(dialect.statement(sql, values)).await?;
        if done.rows_affected() != size as u64 {
            return Err(Error::guard("user_coupons"));
        }
    }
    Ok(())
}
