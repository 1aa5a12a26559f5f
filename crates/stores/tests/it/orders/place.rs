//! One order at a time: what it writes, what a refusal does not, and what inline follow-ups change.

use commerce::answer::StoreError;
use commerce::order::{Error, FollowUp, FollowUps, Mode};
use commerce::page::{Cursor, PageRequest};
use messaging::outbox::Event;

use super::shop::{BALANCE, STOCK, Shop, TRACE, filled, fresh, user_id};
use crate::backends::{Backend, claim, on_both};

on_both!(
    an_order_writes_all_its_rows,
    a_refusal_leaves_no_trace,
    a_refusal_is_repeated,
    a_coupon_pays_part,
    nothing_due_writes_no_entry,
    orders_are_found_and_listed,
    an_inline_data_platform_can_fail_the_order,
    each_step_is_switched_on_its_own,
);

async fn an_order_writes_all_its_rows(backend: &Backend) {
    let shop = filled(backend).await;
    let (status, order) = shop.order(1, &[(2, 3), (1, 1), (2, 2)], None).await;
    assert_eq!(status, 201);
    assert_eq!(order["totalAmount"], 11_000);
    assert_eq!(order["orderItems"].as_array().unwrap().len(), 3);
    assert_eq!(shop.stock(1).await, STOCK - 1);
    assert_eq!(shop.stock(2).await, STOCK - 5);
    assert_eq!(shop.balance(1).await, BALANCE - 11_000);
    shop.assert_adds_up().await;
    assert_eq!(shop.number("SELECT owes FROM orders").await, 7);
    // The number of a product's event lies on its first line.
    let numbered = "SELECT product_id FROM order_lines WHERE ranking_seq IS NOT NULL ORDER BY id";
    assert_eq!(shop.numbers(numbered).await, [2, 1]);
    let events = shop.events().await;
    let topics: Vec<&str> = events.iter().map(|event| event.topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "product-ranking-topic",
            "product-ranking-topic",
            "data-platform-transfer-topic",
            "order-completed-topic",
        ]
    );
    let of_trace = |event: &Event| event.traceparent.as_deref() == Some(TRACE);
    assert!(events.iter().all(of_trace));
    let sold = events.iter().filter(|event| event.kind == "product.sold");
    let (keys, numbers): (Vec<&str>, Vec<i64>) = sold
        .map(|event| (event.key.as_str(), event.seq.unwrap()))
        .unzip();
    assert_eq!(keys, ["2", "1"]);
    let on_lines = "SELECT ranking_seq FROM order_lines WHERE ranking_seq IS NOT NULL ORDER BY id";
    assert_eq!(shop.numbers(on_lines).await, numbers);
}

/// A refusal's code, and the user, lines and coupon that meet it.
type Refused = (&'static str, i64, &'static [(i64, i64)], Option<i64>);

const REFUSED: [Refused; 10] = [
    ("product-not-found", 1, &[(1, 1), (99, 1)], None),
    ("product-not-on-sale", 1, &[(4, 1)], None),
    ("out-of-stock", 1, &[(1, 60), (1, 41)], None),
    ("coupon-not-found", 1, &[(1, 1)], Some(99)),
    ("coupon-not-found", 2, &[(1, 1)], Some(11)),
    ("coupon-expired", 1, &[(1, 1)], Some(12)),
    ("coupon-minimum-not-reached", 1, &[(1, 49)], Some(13)),
    ("coupon-exceeds-total", 1, &[(1, 4)], Some(14)),
    (
        "insufficient-balance",
        1,
        &[(5, 100), (3, 100), (3, 1)],
        None,
    ),
    ("insufficient-balance", 77, &[(1, 1)], None),
];

async fn a_refusal_leaves_no_trace(backend: &Backend) {
    let shop = filled(backend).await;
    shop.run("UPDATE products SET stock = 101 WHERE id = 3")
        .await;
    shop.run("UPDATE wallets SET balance = 800000 WHERE user_id = 1")
        .await;
    for (code, user, lines, coupon) in REFUSED {
        let (status, problem) = shop.order(user, lines, coupon).await;
        assert_eq!(problem["code"], code);
        let missing = code.ends_with("not-found");
        assert_eq!(status, if missing { 404 } else { 409 }, "{code}");
        assert_eq!(shop.traces().await, 0, "{code}");
    }
    assert_eq!(shop.stock(1).await, STOCK);
    assert_eq!(shop.balance(1).await, 800_000);
}

async fn a_refusal_is_repeated(backend: &Backend) {
    let shop = filled(backend).await;
    let order = |key| shop.try_order(1, &[(1, 101)], None, Some(claim(1, key)));
    let first = order(1).await.unwrap();
    shop.run("UPDATE products SET stock = 500 WHERE id = 1")
        .await;
    let again = order(1).await.unwrap();
    match (first, again) {
        (commerce::answer::Answered::Fresh(first), commerce::answer::Answered::Replayed(again)) => {
            assert_eq!(first, again)
        }
        other => panic!("{other:?}"),
    }
    let other_bytes = order(2).await.unwrap();
    assert_eq!(other_bytes, commerce::answer::Answered::Mismatch);
    assert_eq!(shop.traces().await, 0);
}

async fn a_coupon_pays_part(backend: &Backend) {
    let shop = filled(backend).await;
    let (status, order) = shop.order(1, &[(1, 2)], Some(11)).await;
    assert_eq!(status, 201, "{order}");
    assert_eq!(order["discountAmount"], 500);
    assert_eq!(order["discountedAmount"], 1_500);
    let used =
        "SELECT order_id FROM user_coupons WHERE id = 11 AND status = 'USED' AND used_us > 0";
    assert_eq!(shop.numbers(used).await, [order["id"].as_i64().unwrap()]);
    let (status, problem) = shop.order(1, &[(1, 2)], Some(11)).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &"coupon-already-used".into())
    );
    shop.assert_adds_up().await;
}

async fn nothing_due_writes_no_entry(backend: &Backend) {
    let shop = filled(backend).await;
    let (status, order) = shop.order(1, &[(5, 1)], Some(14)).await;
    assert_eq!(status, 201, "{order}");
    assert_eq!(order["discountedAmount"], 0);
    assert_eq!(shop.number("SELECT COUNT(*) FROM wallet_ledger").await, 0);
    let id = order["id"].as_i64().unwrap();
    let (status, _) = fresh(shop.cancel(id, 1, None).await);
    assert_eq!(status, 200);
    assert_eq!(shop.number("SELECT COUNT(*) FROM wallet_ledger").await, 0);
    shop.assert_adds_up().await;
}

async fn orders_are_found_and_listed(backend: &Backend) {
    let shop = filled(backend).await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        let (_, order) = shop.order(1, &[(1, 1), (2, 1)], None).await;
        placed.insert(0, order["id"].as_i64().unwrap());
    }
    shop.order(2, &[(1, 1)], None).await;
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = PageRequest { after, limit: 2 };
        let page = shop.orders.page(user_id(1), page).await.unwrap();
        seen.extend(page.items.iter().map(|order| order.id.get()));
        assert!(page.items.iter().all(|order| order.order_items.len() == 2));
        match page.next_cursor {
            Some(cursor) => after = Cursor::decode(&cursor),
            None => break,
        }
    }
    assert_eq!(seen, placed);
    let id = commerce::ids::OrderId::try_from(placed[0]).unwrap();
    let found = shop.orders.find(id).await.unwrap().unwrap();
    assert_eq!(found.order_items[1].product_name.as_str(), "product 2");
    let missing = commerce::ids::OrderId::try_from(999_999).unwrap();
    assert_eq!(shop.orders.find(missing).await.unwrap(), None);
}

async fn an_inline_data_platform_can_fail_the_order(backend: &Backend) {
    let shop = filled(backend).await;
    let inline = FollowUps {
        ranking: Mode::Inline,
        data_platform: Mode::Inline,
        analytics: Mode::Inline,
    };
    let shop = Shop::with(shop.db.clone(), inline);
    *shop.inline.refuse.lock() = true;
    let failed = shop.try_order(1, &[(1, 1)], None, Some(claim(1, 1))).await;
    assert!(
        matches!(failed, Err(Error::Store(StoreError::FollowUp(_)))),
        "{failed:?}"
    );
    assert_eq!(shop.traces().await, 0);
    assert_eq!(shop.stock(1).await, STOCK);
    // Not stored: the same key may try again.
    *shop.inline.refuse.lock() = false;
    let placed = shop.try_order(1, &[(1, 1), (2, 1)], None, Some(claim(1, 1)));
    let (status, order) = fresh(placed.await.unwrap());
    assert_eq!(status, 201);
    assert_eq!(shop.events().await, []);
    assert_eq!(shop.number("SELECT owes FROM orders").await, 0);
    let id = order["id"].as_i64().unwrap();
    fresh(shop.cancel(id, 1, None).await);
    let steps = [
        (FollowUp::DataPlatform, 1),
        (FollowUp::DataPlatform, 1),
        (FollowUp::Ranking, 2),
        (FollowUp::Analytics, 1),
        (FollowUp::DataPlatform, 1),
        (FollowUp::Ranking, 2),
        (FollowUp::Analytics, 1),
    ];
    assert_eq!(*shop.inline.steps.lock(), steps);
}

async fn each_step_is_switched_on_its_own(backend: &Backend) {
    let shop = filled(backend).await;
    let ranking_inline = FollowUps {
        ranking: Mode::Inline,
        ..FollowUps::default()
    };
    let shop = Shop::with(shop.db.clone(), ranking_inline);
    shop.order(1, &[(1, 1)], None).await;
    assert_eq!(*shop.inline.steps.lock(), [(FollowUp::Ranking, 1)]);
    assert_eq!(shop.events().await.len(), 2);
    assert_eq!(shop.number("SELECT owes FROM orders").await, 6);
}
