//! The analytics store and the data platform's receipts: an event counts once, and reports add up.
//! What an event means is tested in `commerce::analytics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use commerce::analytics::{Amounts, By, CONSUMER, Question, Sale, Sales, Settings, Span, Store};
use commerce::answer::StoreError;
use commerce::clock::SystemClock;
use commerce::data_platform::Receipts;
use messaging::envelope::Identity;
use stores::sql::analytics::SqlSales;
use stores::sql::notes::seen;
use stores::sql::receipts::SqlReceipts;

use crate::backends::{Backend, on_both};

on_both!(
    sales_count_once_and_cancels_subtract,
    deliveries_at_once_count_each_sale_once,
    a_sum_past_64_bits_is_refused_whole,
    the_best_come_first_and_at_most_so_many,
    recorded_inline_or_consumed_counts_once,
    receipts_are_kept,
);

const HOUR_US: i64 = 3_600_000_000;
const START_US: i64 = 1_795_356_000_000_000;
const NOW_US: i64 = START_US;

const ALL_TIME: Span = Span {
    from_us: i64::MIN,
    to_us: i64::MAX,
};

fn sale(number: i64, hour: i64, lines: &[(i64, i64, i64)], sign: i64) -> Sale {
    let products: BTreeMap<_, _> = lines
        .iter()
        .map(|(product, quantity, amount)| {
            let amounts = Amounts {
                quantity: sign * quantity,
                amount: sign * amount,
                orders: sign,
            };
            ((*product).try_into().unwrap(), amounts)
        })
        .collect();
    Sale {
        identity: Identity::Seq(number),
        hour_us: START_US + hour * HOUR_US,
        orders: sign,
        products,
    }
}

/// Hour, pieces, amount, orders.
async fn hours(store: &SqlSales, span: Span) -> Vec<(i64, i64, i64, i64)> {
    let rows = store.by_hour(span).await.unwrap();
    rows.iter()
        .map(|(hour, a)| ((hour - START_US) / HOUR_US, a.quantity, a.amount, a.orders))
        .collect()
}

/// Product, pieces, amount, orders.
async fn products(store: &SqlSales, span: Span, limit: u32) -> Vec<(i64, i64, i64, i64)> {
    let rows = store.by_product(span, limit).await.unwrap();
    rows.iter()
        .map(|(id, a)| (id.get(), a.quantity, a.amount, a.orders))
        .collect()
}

async fn sales_count_once_and_cancels_subtract(backend: &Backend) {
    let store = SqlSales::new(backend.connect().await);
    let first = [
        sale(1, 0, &[(7, 2, 200), (8, 1, 50)], 1),
        sale(2, 0, &[(7, 1, 100)], 1),
        sale(1, 0, &[(7, 2, 200), (8, 1, 50)], 1),
        sale(3, 1, &[(8, 4, 200)], 1),
    ];
    assert_eq!(store.apply(&first, NOW_US).await.unwrap(), 3);
    assert_eq!(store.apply(&first, NOW_US).await.unwrap(), 0);
    assert_eq!(
        hours(&store, ALL_TIME).await,
        [(0, 4, 350, 2), (1, 4, 200, 1)]
    );
    let by_product = [(7, 3, 300, 2), (8, 5, 250, 2)];
    assert_eq!(products(&store, ALL_TIME, 10).await, by_product);
    // A later batch brings the cancel of the first order, and another event of its own.
    let second = [
        sale(4, 0, &[(7, 2, 200), (8, 1, 50)], -1),
        sale(2, 0, &[(7, 1, 100)], 1),
    ];
    assert_eq!(store.apply(&second, NOW_US).await.unwrap(), 1);
    assert_eq!(
        hours(&store, ALL_TIME).await,
        [(0, 1, 100, 1), (1, 4, 200, 1)]
    );
    let first_hour = Span {
        from_us: START_US,
        to_us: START_US + HOUR_US,
    };
    assert_eq!(products(&store, first_hour, 10).await, [(7, 1, 100, 1)]);
}

async fn deliveries_at_once_count_each_sale_once(backend: &Backend) {
    let mut deliveries = Vec::new();
    for member in 0..4 {
        let store = SqlSales::new(backend.connect().await);
        deliveries.push(tokio::spawn(async move {
            for round in 0..10 {
                let batch: Vec<Sale> = (0..20)
                    .map(|n| round * 10 + n)
                    .map(|n| sale(n, n % 3, &[(1 + n % 7, 1, 10), (1 + (n + 3) % 7, 2, 30)], 1))
                    .collect();
                let half = if member % 2 == 0 {
                    &batch[..]
                } else {
                    &batch[5..]
                };
                store.apply(half, NOW_US).await.unwrap();
            }
        }));
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let store = SqlSales::new(backend.connect().await);
    let sums = hours(&store, ALL_TIME).await;
    let (pieces, orders): (i64, i64) = sums.iter().fold((0, 0), |s, h| (s.0 + h.1, s.1 + h.3));
    assert_eq!((pieces, orders), (330, 110));
    let by_product = products(&store, ALL_TIME, 100).await;
    assert_eq!(by_product.iter().map(|p| p.2).sum::<i64>(), 110 * 40);
}

async fn a_sum_past_64_bits_is_refused_whole(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlSales::new(db.clone());
    let huge = |number| sale(number, 0, &[(7, 1, 9_007_199_254_740_991)], 1);
    let batches: Vec<Vec<Sale>> = (0..11)
        .map(|b| (b * 100..b * 100 + 100).map(huge).collect())
        .collect();
    let mut refused = None;
    for batch in &batches {
        if let Err(error) = store.apply(batch, NOW_US).await {
            refused = Some((batch[0].identity.clone(), error));
            break;
        }
    }
    let (identity, error) = refused.unwrap();
    assert!(matches!(error, StoreError::Failed(_)), "{error}");
    let noted = seen(db.reader(), db.dialect(), CONSUMER, &[identity]).await;
    assert_eq!(noted.unwrap(), [false]);
    // Still whole numbers.
    assert_eq!(products(&store, ALL_TIME, 10).await[0].1 % 100, 0);
}

async fn the_best_come_first_and_at_most_so_many(backend: &Backend) {
    let store = SqlSales::new(backend.connect().await);
    let batch: Vec<Sale> = (1..=5)
        .map(|p| sale(p, p, &[(p, 10 - p, p / 2 * 100)], 1))
        .collect();
    store.apply(&batch, NOW_US).await.unwrap();
    let ids: Vec<i64> = products(&store, ALL_TIME, 4)
        .await
        .iter()
        .map(|p| p.0)
        .collect();
    assert_eq!(ids, [4, 5, 2, 3]);
}

async fn recorded_inline_or_consumed_counts_once(backend: &Backend) {
    let store = Arc::new(SqlSales::new(backend.connect().await));
    let sales = Sales::new(store.clone(), Arc::new(SystemClock), Settings::default());
    let value = |order: i64| {
        Bytes::from(format!(
            r#"{{"orderId":{order},"status":"COMPLETED","orderedAt":"2026-11-22 14:15:01",
            "orderItems":[{{"productId":7,"quantity":2,"totalPrice":200.00}}]}}"#
        ))
    };
    let events = [
        (Identity::Seq(1), value(1)),
        (Identity::Foreign("a".into()), value(2)),
    ];
    sales.record(&events).await.unwrap();
    sales.record(&events).await.unwrap();
    let malformed = [(Identity::Seq(2), Bytes::from_static(b"{}"))];
    assert!(sales.record(&malformed).await.is_err());
    for by in [By::Hour, By::Day, By::Product] {
        let question = Question { by, span: ALL_TIME };
        let report = sales.report(question).await.unwrap();
        assert_eq!(report.items.len(), 1);
        let item = &report.items[0];
        assert_eq!((item.quantity, item.amount, item.orders), (4, 400, 2));
    }
}

async fn receipts_are_kept(backend: &Backend) {
    let receipts = SqlReceipts::new(backend.connect().await);
    let identities = [Identity::Seq(7), Identity::Foreign("a".into())];
    assert_eq!(receipts.seen(&identities).await.unwrap(), [false, false]);
    receipts.note(&identities[..1], NOW_US).await.unwrap();
    receipts.note(&identities[..1], NOW_US).await.unwrap();
    assert_eq!(receipts.seen(&identities).await.unwrap(), [true, false]);
}
