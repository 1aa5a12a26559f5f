//! Taking orders back: everything returns once, with rows that say so.

use commerce::answer::Answered;

use super::shop::{BALANCE, STOCK, Shop, filled, fresh};
use crate::backends::{Backend, claim, on_both};

on_both!(
    a_cancel_returns_everything,
    a_cancel_happens_once,
    cancels_at_one_instant_return_once,
    a_full_wallet_refuses_the_refund,
);

async fn a_cancel_returns_everything(backend: &Backend) {
    let shop = filled(backend).await;
    let (_, order) = shop.order(1, &[(2, 3), (1, 100), (2, 2)], Some(11)).await;
    let id = order["id"].as_i64().unwrap();
    assert_eq!(shop.stock(1).await, 0);
    shop.run("DELETE FROM outbox").await;
    let (status, cancelled) = fresh(shop.cancel(id, 1, None).await);
    assert_eq!(status, 200);
    assert_eq!(cancelled["status"], "CANCELLED");
    assert_eq!(cancelled["orderItems"], order["orderItems"]);
    assert_eq!(shop.stock(1).await, STOCK);
    assert_eq!(shop.stock(2).await, STOCK);
    assert_eq!(shop.balance(1).await, BALANCE);
    shop.assert_adds_up().await;
    let kinds = "SELECT kind FROM wallet_ledger ORDER BY id";
    assert_eq!(shop.texts(kinds).await, ["PAYMENT", "REFUND"]);
    let again = "SELECT id FROM user_coupons WHERE status = 'AVAILABLE' AND order_id IS NULL AND used_us IS NULL";
    assert_eq!(shop.numbers(again).await.len(), 4);
    assert_eq!(shop.number("SELECT cancel_owes FROM orders").await, 7);
    let events = shop.events().await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "product.unsold",
            "product.unsold",
            "order.cancelled",
            "order.cancelled",
        ]
    );
    let returned = events.iter().filter(|event| event.kind == "product.unsold");
    let numbers: Vec<i64> = returned.map(|event| event.seq.unwrap()).collect();
    let on_lines =
        "SELECT cancel_ranking_seq FROM order_lines WHERE ranking_seq IS NOT NULL ORDER BY id";
    assert_eq!(shop.numbers(on_lines).await, numbers);
    let (status, _) = shop.order(1, &[(1, 1)], Some(11)).await;
    assert_eq!(status, 201, "the coupon can be used again");
}

async fn a_cancel_happens_once(backend: &Backend) {
    let shop = filled(backend).await;
    let (_, order) = shop.order(1, &[(1, 2)], None).await;
    let id = order["id"].as_i64().unwrap();
    let (status, problem) = fresh(shop.cancel(id, 2, None).await);
    assert_eq!((status, &problem["code"]), (404, &"order-not-found".into()));
    let (status, problem) = fresh(shop.cancel(id + 7, 1, None).await);
    assert_eq!((status, &problem["code"]), (404, &"order-not-found".into()));
    let first = shop.cancel(id, 1, Some(&claim(1, 1))).await;
    let again = shop.cancel(id, 1, Some(&claim(1, 1))).await;
    match (first, again) {
        (Answered::Fresh(first), Answered::Replayed(again)) => assert_eq!(first, again),
        other => panic!("{other:?}"),
    }
    let (status, problem) = fresh(shop.cancel(id, 1, Some(&claim(2, 1))).await);
    assert_eq!(status, 409);
    assert_eq!(problem["code"], "order-already-cancelled");
    assert_eq!(shop.balance(1).await, BALANCE);
    shop.assert_adds_up().await;
}

async fn cancels_at_one_instant_return_once(backend: &Backend) {
    let shops = [filled(backend).await, Shop::open(backend).await];
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (_, order) = shops[0].order(1, &[(1, 1), (3, 1)], None).await;
        ids.push(order["id"].as_i64().unwrap());
    }
    let cancels = ids.iter().flat_map(|id| {
        let cancel = |n: usize| shops[n % 2].cancel(*id, 1, None);
        (0..6).map(cancel)
    });
    let answers = futures::future::join_all(cancels).await;
    let statuses = answers.into_iter().map(|answered| fresh(answered).0);
    assert_eq!(statuses.filter(|status| *status == 200).count(), 5);
    assert_eq!(shops[0].stock(1).await, STOCK);
    assert_eq!(shops[0].balance(1).await, BALANCE);
    shops[0].assert_adds_up().await;
}

async fn a_full_wallet_refuses_the_refund(backend: &Backend) {
    let shop = filled(backend).await;
    let (_, order) = shop.order(1, &[(1, 1)], None).await;
    let full = commerce::amount::EXACT_MAX - 999;
    shop.run(&format!(
        "UPDATE wallets SET balance = {full} WHERE user_id = 1"
    ))
    .await;
    let (status, problem) = fresh(shop.cancel(order["id"].as_i64().unwrap(), 1, None).await);
    assert_eq!((status, &problem["code"]), (409, &"balance-limit".into()));
    assert_eq!(shop.stock(1).await, STOCK - 1);
}
