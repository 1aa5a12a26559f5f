//! The rows of placed orders: inserts of many rows, and UPDATEs for many keys.
//! What is written was decided under lock; a guard that fails is a defect, and rolls back.
//! Called for a batch that was decided, and for a cancel's ledger entry.

use std::collections::BTreeMap;

use commerce::order::{OrderLine, Payment, Placement, Turn};
use commerce::wallet::EntryKind;
use sea_orm::Value;

use crate::sql::writes::{Keyed, Writes};

/// Everything that placements write but outbox rows and idempotency records. `owes`: the steps they owe by event.
pub(super) fn placements(writes: &mut Writes, placed: &[&Placement], owes: i16) {
    let turns: Vec<&Turn> = placed.iter().map(|p| &p.turn).collect();
    let (head, columns) = ORDERS;
    writes.insert(head, columns, &turns, |turn, row| {
        row.extend(order_row(turn, owes));
    });
    let lines: Vec<_> = turns.iter().flat_map(|turn| numbered_lines(turn)).collect();
    let (head, columns) = LINES;
    writes.insert(head, columns, &lines, |line, row| {
        row.extend(line_row(line))
    });

    let payments = placed.iter().filter_map(|p| Some((&p.turn, p.payment?)));
    let payments: Vec<_> = payments.collect();
    let (head, columns) = LEDGER;
    writes.insert(head, columns, &payments, |(turn, payment), row| {
        row.extend(ledger_row(turn, payment, EntryKind::Payment));
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
        writes.push(
            sql.as_str(),
            vec![order.into(), at.into(), coupon.into()],
            1,
        );
    }
}
