//! The cache over a store that counts its reads: one a second and key however many ask, and own changes seen at once.

use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::super::model::{Adjustment, Change, Listing, NewProduct};
use super::super::{Refusal, decide};
use super::*;
use crate::amount::{Name, Won};
use crate::answer::{Answered, Keyed};
use crate::clock::from_us;

struct Counting {
    products: Mutex<Vec<Product>>,
    reads: AtomicUsize,
    /// A read waits for a permit.
    gate: Semaphore,
    fails: Mutex<bool>,
}

impl Counting {
    fn new(count: i64) -> Arc<Self> {
        let product = |number: i64| Product {
            id: number.try_into().unwrap(),
            name: Name::try_from(format!("tea {number}")).unwrap(),
            price: Won::try_from(1_000).unwrap(),
            stock: 5,
            listing: Listing::OnSale,
            created_at: from_us(1),
            updated_at: from_us(1),
        };
        Arc::new(Self {
            products: Mutex::new((1..=count).map(product).collect()),
            reads: AtomicUsize::new(0),
            gate: Semaphore::new(1_000_000),
            fails: Mutex::new(false),
        })
    }

    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::SeqCst)
    }

    async fn read(&self) -> Result<Vec<Product>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let seen = self.products.lock().clone();
        self.gate.acquire().await.unwrap().forget();
        if *self.fails.lock() {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(seen)
    }
}

#[async_trait]
impl Store for Counting {
    async fn products(&self, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
        let mut products = self.read().await?;
        products.retain(|p| ids.contains(&p.id));
        Ok(products)
    }

    async fn page(&self, after: Option<i64>, limit: u32) -> Result<Vec<Product>, StoreError> {
        let mut products = self.read().await?;
        products.retain(|p| p.id.get() > after.unwrap_or(0));
        products.truncate(limit as usize);
        Ok(products)
    }

    async fn create(
        &self,
        _: Keyed<'_, NewProduct, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        Err(StoreError::Failed("not played".into()))
    }

    async fn change(&self, _: Keyed<'_, Change, Product, Refusal>) -> Result<Answered, StoreError> {
        Err(StoreError::Failed("not played".into()))
    }

    async fn adjust(
        &self,
        keyed: Keyed<'_, Adjustment, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        let mut products = self.products.lock();
        let product = products
            .iter_mut()
            .find(|p| p.id == keyed.command.id)
            .ok_or_else(|| StoreError::Failed("not there".into()))?;
        let outcome = decide::adjust(product, &keyed.command);
        if let Ok(adjusted) = &outcome {
            *product = adjusted.clone();
        }
        Ok(Answered::Fresh((keyed.render)(&outcome)))
    }
}

/// Nothing grows old within a test.
fn shelf(store: &Arc<Counting>) -> Arc<Shelf> {
    let settings = Settings {
        ttl_ms: 3_600_000,
        ..Settings::default()
    };
    Arc::new(Shelf::new(store.clone(), &settings))
}

fn id(number: i64) -> ProductId {
    number.try_into().unwrap()
}

fn first_page() -> PageRequest {
    PageRequest {
        after: None,
        limit: 2,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_ask_at_once_are_one_read() {
    let store = Counting::new(3);
    store.gate.forget_permits(1_000_000);
    let shelf = shelf(&store);
    let mut asking = Vec::new();
    for n in 0..1_000 {
        let shelf = shelf.clone();
        asking.push(tokio::spawn(async move {
            match n % 4 {
                0 => shelf.product(id(1)).await.unwrap().map_or(0, |p| p.stock),
                1 => shelf.product(id(9)).await.unwrap().map_or(5, |p| p.stock),
                2 => shelf.page(first_page()).await.unwrap().items[0].stock,
                _ => shelf.cards(&[id(2), id(1)]).await.unwrap()[0].stock,
            }
        }));
    }
    tokio::task::yield_now().await;
    store.gate.add_permits(4);
    for asked in asking {
        assert_eq!(asked.await.unwrap(), 5);
    }
    assert_eq!(store.reads(), 4);
}

#[tokio::test]
async fn what_is_old_is_read_again() {
    let store = Counting::new(1);
    let settings = Settings {
        ttl_ms: 0,
        ..Settings::default()
    };
    let shelf = Shelf::new(store.clone(), &settings);
    for _ in 0..3 {
        assert!(shelf.product(id(1)).await.unwrap().is_some());
    }
    assert_eq!(store.reads(), 3);
}

#[tokio::test]
async fn own_changes_are_seen_at_once_even_by_a_read_that_began_before() {
    let store = Counting::new(3);
    store.gate.forget_permits(1_000_000);
    let shelf = shelf(&store);
    let early = {
        let shelf = shelf.clone();
        tokio::spawn(async move { shelf.product(id(1)).await.unwrap().unwrap().stock })
    };
    while store.reads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // The read has seen 5 and is on its way; the stock becomes 7.
    store.products.lock()[0].stock = 7;
    shelf.forget(id(1));
    store.gate.add_permits(100);
    assert_eq!(early.await.unwrap(), 5);
    assert_eq!(shelf.product(id(1)).await.unwrap().unwrap().stock, 7);
    assert_eq!(shelf.page(first_page()).await.unwrap().items[0].stock, 7);
    // Another product's change leaves this one where it is.
    store.reads();
    shelf.forget(id(2));
    shelf.product(id(1)).await.unwrap();
    assert_eq!(store.reads(), 0);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let store = Counting::new(1);
    let shelf = shelf(&store);
    *store.fails.lock() = true;
    assert!(shelf.product(id(1)).await.is_err());
    *store.fails.lock() = false;
    assert!(shelf.product(id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn pages_and_cards_are_cut_and_ordered() {
    let store = Counting::new(3);
    let shelf = shelf(&store);
    let page = shelf.page(first_page()).await.unwrap();
    let ids: Vec<i64> = page.items.iter().map(|p| p.id.get()).collect();
    assert_eq!(ids, [1, 2]);
    let after = Cursor::decode(page.next_cursor.as_deref().unwrap());
    let last = shelf.page(PageRequest { after, limit: 2 }).await.unwrap();
    assert_eq!((last.items.len(), &last.next_cursor), (1, &None));
    let cards = shelf.cards(&[id(3), id(9), id(1)]).await.unwrap();
    let ids: Vec<i64> = cards.iter().map(|p| p.id.get()).collect();
    assert_eq!(ids, [3, 1]);
}
