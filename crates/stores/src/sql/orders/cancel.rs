//! The cancelling transaction: the order's row is locked first, so that a second cancel waits and then finds it done.
//! Stock, money and coupon come back with rows of their own; compensating events go out.

use std::collections::BTreeMap;

use commerce::amount::Won;
use commerce::answer::{Answered, Keyed, StoreError};
use commerce::ids::ProductId;
use commerce::order::cancel::{CancelOrder, Cancellation, Refusal};
use commerce::order::{Order, Outlet, Status, Turn};
use commerce::wallet::EntryKind;
use messaging::outbox::{Packing, Row};
use parking_lot::Mutex;

use super::{load, read, write};
use crate::sql::idempotency::keyed;
use crate::sql::reads::Reads;
use crate::sql::writes::{self, Writes};
use crate::sql::{Database, Dialect, Error, Transaction, outbox};

/// What was cancelled and the outbox rows written with it.
type Done = (Turn, Vec<Row>);

pub(super) async fn cancel(
    db: &Database,
    packing: Packing,
    cancel: Keyed<'_, CancelOrder, Cancellation, Refusal>,
    outlet: &Outlet,
) -> Result<(Answered, Option<Done>), StoreError> {
    let dialect = db.dialect();
    let done = Mutex::new(None);
    let last = &done;
    let answered = keyed(db, "sql.order-cancel", cancel, move |tx, command, _| {
        Box::pin(async move {
            *last.lock() = None;
            let decided = decide(tx, dialect, command).await?;
            if let Ok(cancellation) = &decided {
                let rows = write(tx, dialect, packing, cancellation, outlet).await?;
                *last.lock() = Some((cancellation.turn.clone(), rows));
            }
            Ok(decided)
        })
    })
    .await?;
    match answered {
        Answered::Fresh(_) => Ok((answered, done.into_inner())),
        // A key that was taken in the same moment: what was done then is another's.
        Answered::Replayed(_) | Answered::Mismatch => Ok((answered, None)),
    }
}

async fn decide(
    tx: &Transaction,
    dialect: Dialect,
    command: &CancelOrder,
) -> Result<Result<Cancellation, Refusal>, Error> {
    let order = read::find(tx, dialect, command.order, dialect.for_update()).await?;
    let balance = match &order {
        Some(order) if order.status == Status::Completed => lock(tx, dialect, order).await?,
        _ => Won::ZERO,
    };
    Ok(command.decide(order.as_ref(), balance))
}

/// Locks what the cancel changes, in the order that placing locks it in. The wallet's balance.
async fn lock(tx: &Transaction, dialect: Dialect, order: &Order) -> Result<Won, Error> {
    let coupon = order.user_coupon_id.map(|coupon| coupon.get());
    let products = order.order_items.iter().map(|line| line.product_id);
    let products = products.map(ProductId::get).collect();
    let mut reads = Reads::new(dialect);
    load::ask_to_lock(
        &mut reads,
        dialect,
        "user_coupons",
        coupon.into_iter().collect(),
    );
    let wallets = load::ask_wallets(&mut reads, dialect, vec![order.user_id.get()]);
    load::ask_to_lock(&mut reads, dialect, "products", products);
    let wallets = load::balances(&reads.ask(tx).await?, wallets)?;
    Ok(wallets.get(&order.user_id).copied().unwrap_or_default())
}

async fn write(
    tx: &Transaction,
    dialect: Dialect,
    packing: Packing,
    cancellation: &Cancellation,
    outlet: &Outlet,
) -> Result<Vec<Row>, Error> {
    let turn = &cancellation.turn;
    let mut writes = Writes::new(dialect);
    mark(&mut writes, turn, outlet.follow_ups().owes());
    restock(&mut writes, cancellation);
    if let Some(refund) = &cancellation.refund {
        writes.insert(write::LEDGER, &[refund], |refund, row| {
            write::ledger_row(turn, refund, EntryKind::Refund, row);
        });
        let balance = (turn.order.user_id.get(), refund.balance_after.get());
        writes.update(&write::SET_BALANCE, [balance]);
    }
    if let Some(coupon) = turn.order.user_coupon_id {
        let update = "UPDATE user_coupons SET status = 'AVAILABLE', order_id = NULL, used_us = NULL WHERE id = ? AND order_id = ? AND status = 'USED'";
        let values = vec![coupon.get().into(), turn.order.id.get().into()];
        writes.push(update, &values, 1);
    }
    let rows = packing.rows(outlet.events(turn));
    outbox::write_rows(&mut writes, &rows)?;
    writes.send(tx).await?;
    let step = outlet.before_commit(turn).await;
    step.map_err(Error::CalledOff)?;
    Ok(rows)
}

/// The order's own rows.
fn mark(writes: &mut Writes, turn: &Turn, owes: i16) {
    let order = &turn.order;
    let update = "UPDATE orders SET status = ?, cancelled_us = ?, cancel_owes = ?, cancel_completed_seq = ?, cancel_data_platform_seq = ? WHERE id = ? AND status = 'COMPLETED'";
    let values = vec![
        order.status.word().into(),
        turn.at.as_microsecond().into(),
        owes.into(),
        turn.numbers.completed.into(),
        turn.numbers.data_platform.into(),
        order.id.get().into(),
    ];
    writes.push(update, &values, 1);
    let mut numbers = BTreeMap::new();
    for (share, number) in order.shares().iter().zip(&turn.numbers.ranking) {
        let lines = &order.order_items;
        let first = lines.iter().find(|l| l.product_id == share.product_id);
        numbers.extend(first.map(|line| (line.id.get(), *number)));
    }
    let update = writes::Keyed {
        table: "order_lines",
        key: "id",
        column: "cancel_ranking_seq",
        relative: "",
        guard: Some(("order_id", order.id.get())),
    };
    writes.update(&update, numbers);
}

fn restock(writes: &mut Writes, cancellation: &Cancellation) {
    let turn = &cancellation.turn;
    let head = "INSERT INTO stock_ledger (id, product_id, kind, order_id, delta, created_us)";
    writes.insert(head, &cancellation.restocks, |restock, row| {
        row.int(restock.entry_id)
            .int(restock.product.get())
            .text("CANCEL")
            .int(turn.order.id.get())
            .int(restock.quantity)
            .int(turn.at.as_microsecond());
    });
    let returned = cancellation.restocks.iter();
    let returned = returned.map(|r| (r.product.get(), r.quantity));
    let update = writes::Keyed {
        table: "products",
        key: "id",
        column: "stock",
        relative: "stock + ",
        guard: None,
    };
    writes.update(&update, returned);
}
