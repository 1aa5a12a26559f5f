//! The rows of placed orders: inserts of many rows, and UPDATEs for many keys.
//! What is written was decided under lock; a guard that fails is a defect, and rolls back.
//! Called for a batch that was decided, and for a cancel's ledger entry.

use std::collections::BTreeMap;

use commerce::order::{OrderLine, Payment, Placement, Turn};
use commerce::wallet::EntryKind;

use crate::sql::writes::{Keyed, Row, Writes};

/// Everything that placements write but outbox rows and idempotency records. `owes`: the steps they owe by event.
pub(super) fn placements(writes: &mut Writes, placed: &[&Placement], owes: i16) {
    let turns: Vec<&Turn> = placed.iter().map(|p| &p.turn).collect();
    writes.insert(ORDERS, &turns, |turn, row| order_row(turn, owes, row));
    let lines: Vec<_> = turns.iter().flat_map(|turn| numbered_lines(turn)).collect();
    writes.insert(LINES, &lines, line_row);

    let payments = placed.iter().filter_map(|p| Some((&p.turn, p.payment?)));
    let payments: Vec<_> = payments.collect();
    writes.insert(LEDGER, &payments, |(turn, payment), row| {
        ledger_row(turn, payment, EntryKind::Payment, row);
    });
    // In order of arrival, so that the last one's balance stays.
    let balances: BTreeMap<i64, i64> = payments
        .iter()
        .map(|(turn, payment)| (turn.order.user_id.get(), payment.balance_after.get()))
        .collect();
    writes.update(&SET_BALANCE, balances);

    let mut sold: BTreeMap<i64, i64> = BTreeMap::new();
    for line in turns.iter().flat_map(|turn| &turn.order.order_items) {
        *sold.entry(line.product_id.get()).or_default() += line.quantity.get();
    }
    writes.update(&TAKE_STOCK, sold);
    use_coupons(writes, &turns);
}

pub(super) const SET_BALANCE: Keyed<'static> = Keyed {
    table: "wallets",
    key: "user_id",
    column: "balance",
    relative: "",
    guard: None,
};

/// `products.stock` falls by the values. That it stays at 0 or above is a CHECK of the table.
const TAKE_STOCK: Keyed<'static> = Keyed {
    table: "products",
    key: "id",
    column: "stock",
    relative: "stock - ",
    guard: None,
};

const ORDERS: &str = "INSERT INTO orders (id, user_id, user_coupon_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancel_owes)";
const LINES: &str = "INSERT INTO order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq)";
pub(super) const LEDGER: &str =
    "INSERT INTO wallet_ledger (id, user_id, kind, amount, balance_after, order_id, created_us)";

fn order_row(turn: &Turn, owes: i16, row: &mut Row<'_>) {
    let order = &turn.order;
    row.int(order.id.get())
        .int(order.user_id.get())
        .int(order.user_coupon_id.map(|coupon| coupon.get()))
        .int(order.total_amount.get())
        .int(order.discount_amount.get())
        .int(order.discounted_amount.get())
        .text(order.status.word())
        .int(turn.at.as_microsecond())
        .int(i64::from(owes))
        .int(turn.numbers.completed)
        .int(turn.numbers.data_platform)
        .int(0);
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

fn line_row((turn, line, ranking_seq): &(&Turn, &OrderLine, Option<i64>), row: &mut Row<'_>) {
    row.int(turn.order.id.get())
        .int(line.id.get())
        .int(line.product_id.get())
        .text(line.product_name.as_str())
        .int(line.quantity.get())
        .int(line.unit_price.get())
        .int(line.total_price.get())
        .int(*ranking_seq);
}

pub(super) fn ledger_row(turn: &Turn, payment: &Payment, kind: EntryKind, row: &mut Row<'_>) {
    let sign = if kind == EntryKind::Payment { -1 } else { 1 };
    row.int(payment.entry_id)
        .int(turn.order.user_id.get())
        .text(kind.word())
        .int(sign * payment.amount.get())
        .int(payment.balance_after.get())
        .int(turn.order.id.get())
        .int(turn.at.as_microsecond());
}

fn use_coupons(writes: &mut Writes, turns: &[&Turn]) {
    let used = turns.iter().filter_map(|turn| {
        let coupon = turn.order.user_coupon_id?;
        Some([coupon.get(), turn.order.id.get(), turn.at.as_microsecond()])
    });
    let mut used: Vec<_> = used.collect();
    used.sort_unstable();
    let sql = format!(
        "UPDATE user_coupons{} SET status = 'USED', order_id = ?, used_us = ? WHERE id = ? AND status = 'AVAILABLE'",
        writes.dialect().force_primary(),
    );
    for [coupon, order, at] in used {
        writes.push(&sql, &[order.into(), at.into(), coupon.into()], 1);
    }
}
