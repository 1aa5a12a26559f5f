//! The catalogue's store: products and their ledger agree whatever happens at once.
//! What a command may do is decided in `commerce::catalogue::decide` and tested there.

use bytes::Bytes;
use commerce::amount::{Name, Won};
use commerce::answer::{Answer, Answered, Claim, Keyed};
use commerce::catalogue::{
    Adjustment, Change, Listing, NewProduct, Product, Refusal, Status, Store,
};
use commerce::clock::from_us;
use commerce::ids::{Allocator, ProductId, Series};
use sea_orm::ConnectionTrait;
use std::sync::Arc;
use stores::sql::Database;
use stores::sql::catalogue::{Seed, SqlCatalogue, seed_products};

use crate::backends::{Backend, claim, on_both};

on_both!(
    a_product_is_found_as_it_was_created,
    pages_go_through_all_in_order,
    a_change_leaves_the_stock_alone,
    refusals_change_nothing,
    a_repeat_with_the_key_adds_once,
    adjustments_at_once_lose_nothing,
    seeding_again_adds_only_what_is_missing,
);

fn id(number: i64) -> ProductId {
    number.try_into().unwrap()
}

fn draft(number: i64, stock: i64) -> NewProduct {
    NewProduct {
        id: id(number),
        entry_id: 1_000_000_000 + number,
        name: Name::try_from(format!("차 {number} 🍵 '\"\\")).unwrap(),
        price: Won::try_from(12_000).unwrap(),
        stock,
        listing: Listing::OnSale,
        at: from_us(1_700_000_000_123_456),
    }
}

fn adjustment(number: i64, entry_id: i64, delta: i64) -> Adjustment {
    Adjustment {
        id: id(number),
        entry_id,
        delta,
        at: from_us(1_700_000_001_000_000),
    }
}

fn render(outcome: &Result<Product, Refusal>) -> Answer {
    Answer {
        status: if outcome.is_ok() { 200 } else { 409 },
        location: None,
        body: Bytes::from(match outcome {
            Ok(product) => format!("{} {}", product.stock, product.status()),
            Err(refusal) => refusal.to_string(),
        }),
    }
}

fn keyed<C>(command: C, claim: Option<&Claim>) -> Keyed<'_, C, Product, Refusal> {
    Keyed {
        command,
        claim,
        render: &render,
    }
}

fn said(answered: &Answered) -> String {
    match answered {
        Answered::Fresh(answer) | Answered::Replayed(answer) => {
            String::from_utf8(answer.body.to_vec()).unwrap()
        }
        Answered::Mismatch => "mismatch".to_owned(),
    }
}

async fn ledger(db: &Database, number: i64) -> Vec<(String, i64)> {
    let sql = "SELECT kind, delta FROM stock_ledger WHERE product_id = ? ORDER BY id";
    let rows = db
        .reader()
        .query_all_raw(db.statement(sql, vec![number.into()]))
        .await
        .unwrap();
    rows.iter()
        .map(|row| (row.try_get_by(0).unwrap(), row.try_get_by(1).unwrap()))
        .collect()
}

async fn stock(store: &SqlCatalogue, number: i64) -> i64 {
    store.products(&[id(number)]).await.unwrap()[0].stock
}

async fn a_product_is_found_as_it_was_created(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlCatalogue::new(db.clone());
    for (number, pieces) in [(1, 10), (2, 0)] {
        store
            .create(keyed(draft(number, pieces), None))
            .await
            .unwrap();
    }
    let mut found = store.products(&[id(2), id(9), id(1)]).await.unwrap();
    found.sort_by_key(|p| p.id);
    assert_eq!(found.len(), 2);
    let (new, product) = (draft(1, 10), &found[0]);
    assert_eq!(product.name, new.name);
    assert_eq!((product.price, product.stock), (new.price, 10));
    assert_eq!((product.created_at, product.updated_at), (new.at, new.at));
    assert_eq!(found[1].status(), Status::SoldOut);
    assert_eq!(ledger(&db, 1).await, vec![("SEED".to_owned(), 10)]);
    assert_eq!(ledger(&db, 2).await, vec![]);
}

async fn pages_go_through_all_in_order(backend: &Backend) {
    let store = SqlCatalogue::new(backend.connect().await);
    for number in [5, 3, 9, 1] {
        store.create(keyed(draft(number, 1), None)).await.unwrap();
    }
    let ids = |page: Vec<Product>| page.iter().map(|p| p.id.get()).collect::<Vec<_>>();
    assert_eq!(ids(store.page(None, 3).await.unwrap()), vec![1, 3, 5]);
    assert_eq!(ids(store.page(Some(5), 3).await.unwrap()), vec![9]);
    assert!(ids(store.page(Some(i64::MAX), 3).await.unwrap()).is_empty());
    assert_eq!(ids(store.page(Some(i64::MIN), 1).await.unwrap()), vec![1]);
}

async fn a_change_leaves_the_stock_alone(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlCatalogue::new(db.clone());
    store.create(keyed(draft(1, 10), None)).await.unwrap();
    let change = Change {
        id: id(1),
        name: Name::try_from("tea".to_owned()).ok(),
        price: Won::try_from(1).ok(),
        status: Some(Status::Stopped),
        at: from_us(1_700_000_002_000_000),
    };
    let answered = store.change(keyed(change.clone(), None)).await.unwrap();
    assert_eq!(said(&answered), "10 STOPPED");
    let product = store.products(&[id(1)]).await.unwrap().remove(0);
    assert_eq!(
        (product.name, product.price.get()),
        (change.name.unwrap(), 1)
    );
    assert_eq!((product.stock, product.updated_at), (10, change.at));
    assert_eq!(ledger(&db, 1).await.len(), 1);
}

async fn refusals_change_nothing(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlCatalogue::new(db.clone());
    store.create(keyed(draft(1, 2), None)).await.unwrap();
    let before = store.products(&[id(1)]).await.unwrap();
    let taken = store.adjust(keyed(adjustment(1, 1, -3), None)).await;
    assert_eq!(
        said(&taken.unwrap()),
        "product 1 has a stock of 2: 3 cannot be taken away"
    );
    let missing = store.adjust(keyed(adjustment(7, 2, 3), None)).await;
    assert_eq!(said(&missing.unwrap()), "there is no product 7");
    let back = Change {
        id: id(1),
        name: Name::try_from("tea".to_owned()).ok(),
        price: None,
        status: Some(Status::Preparing),
        at: from_us(1),
    };
    let illegal = said(&store.change(keyed(back, None)).await.unwrap());
    assert_eq!(illegal, "product 1 is ON_SALE and cannot become PREPARING");
    assert_eq!(store.products(&[id(1)]).await.unwrap(), before);
    assert_eq!(ledger(&db, 1).await.len(), 1);
    // The last pieces may go, and the product is sold out until some come back.
    let all = store.adjust(keyed(adjustment(1, 3, -2), None)).await;
    assert_eq!(said(&all.unwrap()), "0 SOLD_OUT");
    let some = store.adjust(keyed(adjustment(1, 4, 5), None)).await;
    assert_eq!(said(&some.unwrap()), "5 ON_SALE");
    let kinds: Vec<String> = ledger(&db, 1).await.into_iter().map(|row| row.0).collect();
    assert_eq!(kinds, ["ADJUST", "RESTOCK", "SEED"]);
}

async fn a_repeat_with_the_key_adds_once(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlCatalogue::new(db.clone());
    store.create(keyed(draft(1, 0), None)).await.unwrap();
    let key = claim(1, 1);
    let first = store.adjust(keyed(adjustment(1, 1, 5), Some(&key))).await;
    assert_eq!(said(&first.unwrap()), "5 ON_SALE");
    let again = store.adjust(keyed(adjustment(1, 2, 5), Some(&key))).await;
    assert!(matches!(again.as_ref().unwrap(), Answered::Replayed(_)));
    assert_eq!(said(&again.unwrap()), "5 ON_SALE");
    assert_eq!(stock(&store, 1).await, 5);
    assert_eq!(ledger(&db, 1).await.len(), 1);
}

async fn adjustments_at_once_lose_nothing(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlCatalogue::new(db.clone());
    store.create(keyed(draft(1, 10), None)).await.unwrap();
    let mut workers = Vec::new();
    for worker in 0..4 {
        let store = SqlCatalogue::new(backend.connect().await);
        workers.push(tokio::spawn(async move {
            for round in 0..15 {
                let delta = if (worker + round) % 2 == 0 { 4 } else { -7 };
                let entry_id = 10_000 + worker * 100 + round;
                let command = keyed(adjustment(1, entry_id, delta), None);
                store.adjust(command).await.unwrap();
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let sum: i64 = ledger(&db, 1).await.iter().map(|row| row.1).sum();
    let left = stock(&store, 1).await;
    assert_eq!(left, sum);
    assert!(left >= 0);
}

async fn seeding_again_adds_only_what_is_missing(backend: &Backend) {
    let db = backend.connect().await;
    let numbers = Allocator::new(Arc::new(db.clone()), 100);
    let store = SqlCatalogue::new(db.clone());
    store.create(keyed(draft(3, 7), None)).await.unwrap();
    let seed = |count| Seed {
        count,
        stock: 50,
        price: 900,
        at_us: 1_700_000_000_000_000,
    };
    assert_eq!(seed_products(&db, &numbers, seed(5)).await.unwrap(), 4);
    assert_eq!(stock(&store, 3).await, 7);
    assert_eq!(stock(&store, 5).await, 50);
    assert_eq!(ledger(&db, 5).await, vec![("SEED".to_owned(), 50)]);
    // Again, larger than one transaction, and from two processes at once.
    let other = backend.connect().await;
    let others = Allocator::new(Arc::new(other.clone()), 100);
    let (one, two) = tokio::join!(
        seed_products(&db, &numbers, seed(2_500)),
        seed_products(&other, &others, seed(2_500))
    );
    assert_eq!(one.unwrap() + two.unwrap(), 2_495);
    assert_eq!(ledger(&db, 5).await.len(), 1);
    assert_eq!(ledger(&db, 2_500).await.len(), 1);
    // The next product made by hand gets a number of its own.
    assert!(numbers.one(Series::Product).await.unwrap() > 2_500);
}
