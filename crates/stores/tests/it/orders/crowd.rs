//! Many orders at once, from two processes on one database: nothing is oversold, charged twice, lost or held up.

use std::sync::Arc;

use commerce::answer::{Answer, Answered, Keyed, StoreError};
use commerce::clock::from_us;
use commerce::order::Error;
use commerce::wallet::{Charge, ChargeAmount, Charged, Refusal, Store};
use futures::future::join_all;
use stores::sql::wallet::SqlWallets;

use super::shop::{BALANCE, STOCK, Shop, body, filled, fresh, user_id};
use crate::backends::{Backend, claim, on_both};

on_both!(
    a_hot_product_sells_exactly_its_stock,
    charges_and_orders_lose_nothing,
    a_key_is_one_order_wherever_it_goes,
    a_coupon_is_used_once,
    one_bad_order_fails_alone,
    a_client_that_goes_away_changes_nothing,
);

async fn two_processes(backend: &Backend) -> [Arc<Shop>; 2] {
    [
        Arc::new(filled(backend).await),
        Arc::new(Shop::open(backend).await),
    ]
}

async fn a_hot_product_sells_exactly_its_stock(backend: &Backend) {
    let shops = two_processes(backend).await;
    let orders = (0..160).map(|n: i64| {
        let shop = &shops[n as usize % 2];
        // In both directions, so that a wrong order of locks would meet itself.
        let lines = [(1, 1), (2, 1)];
        let lines = if n % 3 == 0 {
            [lines[1], lines[0]]
        } else {
            lines
        };
        async move { shop.order(1 + n % 9, &lines, None).await }
    });
    let answers = join_all(orders).await;
    let placed = answers.iter().filter(|(status, _)| *status == 201).count();
    assert_eq!(placed as i64, STOCK);
    let refused = answers.iter().filter(|(status, _)| *status != 201);
    assert!(
        refused
            .into_iter()
            .all(|(_, p)| p["code"] == "out-of-stock")
    );
    assert_eq!(shops[0].stock(1).await, 0);
    assert_eq!(shops[0].stock(2).await, 0);
    shops[0].assert_adds_up().await;
    let events = shops[0].events().await;
    assert_eq!(events.len() as i64, 4 * STOCK);
}

async fn charges_and_orders_lose_nothing(backend: &Backend) {
    let shops = two_processes(backend).await;
    let orders = (0..60).map(|n: usize| {
        let shop = shops[n % 2].clone();
        async move { shop.order(1, &[(3, 1)], None).await.0 }
    });
    let charges = (0..40).map(|n: i64| {
        let wallets = SqlWallets::new(shops[n as usize % 2].db.clone());
        async move {
            let command = Charge {
                user: user_id(1),
                amount: ChargeAmount::try_from(100).unwrap(),
                entry_id: 1_000_000 + n,
                at: from_us(n),
            };
            let keyed = Keyed {
                command,
                claim: None,
                render: &|outcome: &Result<Charged, Refusal>| Answer {
                    status: if outcome.is_ok() { 201 } else { 409 },
                    location: None,
                    body: "".into(),
                },
            };
            match wallets.charge(keyed).await.unwrap() {
                Answered::Fresh(answer) => answer.status,
                other => panic!("{other:?}"),
            }
        }
    });
    let (orders, charges) = tokio::join!(join_all(orders), join_all(charges));
    assert!(orders.iter().chain(&charges).all(|status| *status == 201));
    let expected = BALANCE - 60 * 3_000 + 40 * 100;
    assert_eq!(shops[0].balance(1).await, expected);
    shops[0].assert_adds_up().await;
}

async fn a_key_is_one_order_wherever_it_goes(backend: &Backend) {
    let shops = two_processes(backend).await;
    // Each key goes to both processes at once; a third of them ask for too much.
    let orders = (0..60_u8).map(|n| {
        let shop = shops[usize::from(n % 2)].clone();
        let key = n / 2;
        let quantity = if key % 3 == 0 { 101 } else { 1 };
        async move {
            let claim = Some(claim(key, 1));
            shop.try_order(1 + i64::from(key % 3), &[(1, quantity)], None, claim)
                .await
                .unwrap()
        }
    });
    let answers = join_all(orders).await;
    for pair in answers.chunks(2) {
        let bytes = |a: &Answered| match a {
            Answered::Fresh(answer) | Answered::Replayed(answer) => answer.clone(),
            Answered::Mismatch => panic!("a mismatch"),
        };
        assert_eq!(bytes(&pair[0]), bytes(&pair[1]));
        let fresh = pair.iter().filter(|a| matches!(a, Answered::Fresh(_)));
        assert_eq!(fresh.count(), 1);
    }
    assert_eq!(shops[0].number("SELECT COUNT(*) FROM orders").await, 20);
    assert_eq!(
        shops[0].number("SELECT COUNT(*) FROM idempotency").await,
        30
    );
    shops[0].assert_adds_up().await;
}

async fn a_coupon_is_used_once(backend: &Backend) {
    let shops = two_processes(backend).await;
    let orders = (0..20).map(|n: usize| {
        let shop = &shops[n % 2];
        async move { shop.order(1, &[(1, 1)], Some(11)).await }
    });
    let answers = join_all(orders).await;
    let placed = answers.iter().filter(|(status, _)| *status == 201).count();
    assert_eq!(placed, 1);
    let others = answers.iter().filter(|(status, _)| *status != 201);
    assert!(
        others
            .into_iter()
            .all(|(_, p)| p["code"] == "coupon-already-used")
    );
    shops[0].assert_adds_up().await;
}

async fn one_bad_order_fails_alone(backend: &Backend) {
    let shop = filled(backend).await;
    // A row that no code writes: whoever reads it meets a defect.
    shop.run("UPDATE products SET status = 'BROKEN' WHERE id = 5")
        .await;
    let orders = (0..33).map(|n: i64| {
        let product = if n == 20 { 5 } else { 1 };
        let shop = &shop;
        async move {
            shop.try_order(1 + n % 9, &[(product, 1)], None, None)
                .await
                .map(fresh)
        }
    });
    let answers = join_all(orders).await;
    for (n, answer) in answers.iter().enumerate() {
        match answer {
            Ok((status, _)) => assert!(*status == 201 && n != 20, "{n}"),
            Err(Error::Store(StoreError::Failed(_))) => assert_eq!(n, 20),
            Err(other) => panic!("{other:?}"),
        }
    }
    // Halving kept the order of arrival.
    let ids = answers
        .iter()
        .flatten()
        .map(|(_, order)| order["id"].as_i64());
    assert!(ids.collect::<Vec<_>>().is_sorted());
    assert_eq!(shop.stock(1).await, STOCK - 32);
    shop.assert_adds_up().await;
}

async fn a_client_that_goes_away_changes_nothing(backend: &Backend) {
    let shop = Arc::new(filled(backend).await);
    let asking = shop.clone();
    let client = tokio::spawn(async move {
        let claim = Some(claim(1, 1));
        asking.try_order(1, &[(1, 1)], None, claim).await
    });
    // The client's task has handed the order in once a number was taken for it.
    let taken = "SELECT COUNT(*) FROM id_blocks WHERE name = 'order'";
    testkit::eventually(std::time::Duration::from_secs(60), "an order", async || {
        anyhow::ensure!(shop.number(taken).await == 1);
        Ok(())
    })
    .await;
    client.abort();
    let placed = "SELECT COUNT(*) FROM orders";
    testkit::eventually(
        std::time::Duration::from_secs(60),
        "the order",
        async || {
            anyhow::ensure!(shop.number(placed).await == 1);
            Ok(())
        },
    )
    .await;
    let again = shop.try_order(1, &[(1, 1)], None, Some(claim(1, 1))).await;
    match again.unwrap() {
        Answered::Replayed(answer) => assert_eq!(body(&answer)["status"], "COMPLETED"),
        other => panic!("{other:?}"),
    }
    assert_eq!(shop.balance(1).await, BALANCE - 1_000);
}
