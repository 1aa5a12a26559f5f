//! The wallets' store: no top-up is lost, each has its row, none counts twice.

use commerce::amount::{EXACT_MAX, Won};
use commerce::answer::{Answer, Answered, Claim, Keyed};
use commerce::clock::from_us;
use commerce::ids::UserId;
use commerce::page::{Cursor, PageRequest};
use commerce::wallet::{Charge, ChargeAmount, Charged, EntryKind, Refusal, Store};
use sea_orm::ConnectionTrait;
use stores::sql::Database;
use stores::sql::wallet::SqlWallets;

use crate::backends::{Backend, claim, on_both};

on_both!(
    a_wallet_opens_at_zero,
    top_ups_at_one_instant_lose_nothing,
    a_repeat_charges_once,
    a_full_wallet_refuses,
    history_pages_newest_first,
);

fn user(id: i64) -> UserId {
    UserId::try_from(id).unwrap()
}

/// Entry `entry` at `entry / 10` microseconds, so that several share an instant.
async fn charge(store: &SqlWallets, entry: i64, amount: i64, claim: Option<&Claim>) -> Answered {
    let command = Charge {
        user: user(1),
        amount: ChargeAmount::try_from(amount).unwrap(),
        entry_id: entry,
        at: from_us(entry / 10),
    };
    let keyed = Keyed {
        command,
        claim,
        render: &|outcome: &Result<Charged, Refusal>| Answer {
            status: if outcome.is_ok() { 200 } else { 409 },
            location: None,
            body: format!("{outcome:?}").into(),
        },
    };
    store.charge(keyed).await.unwrap()
}

fn first_page(limit: u32) -> PageRequest {
    PageRequest { after: None, limit }
}

async fn set_balance(db: &Database, balance: i64) {
    let update = db.statement("UPDATE wallets SET balance = ?", vec![balance.into()]);
    db.writer().execute_raw(update).await.unwrap();
}

async fn a_wallet_opens_at_zero(backend: &Backend) {
    let store = SqlWallets::new(backend.connect().await);
    assert_eq!(store.balance(user(1)).await.unwrap(), Won::ZERO);
    assert_eq!(store.history(user(1), first_page(20)).await.unwrap(), []);
    charge(&store, 1, 700, None).await;
    assert_eq!(store.balance(user(1)).await.unwrap().get(), 700);
    assert_eq!(store.balance(user(2)).await.unwrap(), Won::ZERO);
    let history = store.history(user(1), first_page(20)).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].kind, EntryKind::Charge);
    assert_eq!(history[0].amount, 700);
    assert_eq!(history[0].balance_after.get(), 700);
    assert_eq!(history[0].order_id, None);
}

async fn top_ups_at_one_instant_lose_nothing(backend: &Backend) {
    let mut calls = tokio::task::JoinSet::new();
    let databases = [backend.connect().await, backend.connect().await];
    for entry in 1..=60 {
        let store = SqlWallets::new(databases[entry as usize % 2].clone());
        calls.spawn(async move { charge(&store, entry, entry, None).await });
    }
    calls.join_all().await;
    let store = SqlWallets::new(databases[0].clone());
    let sum = (1..=60).sum::<i64>();
    assert_eq!(store.balance(user(1)).await.unwrap().get(), sum);
    let history = store.history(user(1), first_page(100)).await.unwrap();
    assert_eq!(history.iter().map(|e| e.amount).sum::<i64>(), sum);
    let mut after: Vec<_> = history.iter().map(|e| e.balance_after).collect();
    after.sort_unstable();
    after.dedup();
    assert_eq!(after.len(), 60, "each entry saw the one before it");
}

async fn a_repeat_charges_once(backend: &Backend) {
    let store = SqlWallets::new(backend.connect().await);
    let first = charge(&store, 1, 500, Some(&claim(1, 1))).await;
    let again = charge(&store, 2, 500, Some(&claim(1, 1))).await;
    match (first, again) {
        (Answered::Fresh(first), Answered::Replayed(again)) => assert_eq!(first, again),
        other => panic!("{other:?}"),
    }
    let mismatch = charge(&store, 3, 501, Some(&claim(1, 2))).await;
    assert_eq!(mismatch, Answered::Mismatch);
    assert_eq!(store.balance(user(1)).await.unwrap().get(), 500);
}

async fn a_full_wallet_refuses(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlWallets::new(db.clone());
    charge(&store, 1, 1, None).await;
    set_balance(&db, EXACT_MAX - 5).await;
    let Answered::Fresh(answer) = charge(&store, 2, 6, None).await else {
        panic!("not fresh");
    };
    assert_eq!(answer.status, 409);
    charge(&store, 3, 5, None).await;
    assert_eq!(store.balance(user(1)).await.unwrap().get(), EXACT_MAX);
}

async fn history_pages_newest_first(backend: &Backend) {
    let store = SqlWallets::new(backend.connect().await);
    for entry in 1..=25 {
        charge(&store, entry, 1, None).await;
    }
    let mut seen = Vec::new();
    let mut page = first_page(7);
    loop {
        let mut rows = store.history(user(1), page).await.unwrap();
        let more = rows.len() > 7;
        rows.truncate(7);
        seen.extend(rows.iter().map(|e| e.id.get()));
        let Some(last) = rows.last().filter(|_| more) else {
            break;
        };
        page.after = Some(Cursor {
            major: last.created_at.as_microsecond(),
            minor: last.id.get(),
        });
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
}
