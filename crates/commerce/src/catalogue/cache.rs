//! Products as they were at most a second ago, kept in this process: bounded, one read in flight a key, misses kept too.
//! What is kept lives for `ttl_ms` from the moment the database was asked, and that is how every process learns of a change within
//! that time with nobody announcing anything. Commands of this process are seen at once (`forget`). Used by `Catalogue` only.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;

use super::model::{Product, ProductView};
use super::ports::Store;
use crate::answer::StoreError;
use crate::ids::ProductId;
use crate::page::{Cursor, Page, PageRequest};

#[derive(Clone, Debug)]
pub struct Settings {
    /// How old what is shown may be; also how often, at most, one product or page is read from the database.
    pub ttl_ms: u64,
    /// Products kept, missing ones included.
    pub products_max: u64,
    /// Pages kept, each of at most 100 products.
    pub pages_max: u64,
    /// Lists of best sellers kept.
    pub card_lists_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl_ms: 1_000,
            products_max: 10_000,
            pages_max: 500,
            card_lists_max: 500,
        }
    }
}

/// A value and when the database was asked for it.
#[derive(Clone)]
struct Read<V> {
    value: V,
    asked: Instant,
}

struct SinceAsked(Duration);

impl<K, V> Expiry<K, Read<V>> for SinceAsked {
    fn expire_after_create(&self, _: &K, read: &Read<V>, _: Instant) -> Option<Duration> {
        Some(self.0.saturating_sub(read.asked.elapsed()))
    }
}

/// A key as of a change: a read that began before the change is kept under the old number, where nobody looks again.
type AsOf<K> = (u64, K);
type Reads<K, V> = Cache<AsOf<K>, Read<V>>;

fn reads<K, V>(capacity_max: u64, ttl: Duration) -> Reads<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(capacity_max)
        .expire_after(SinceAsked(ttl))
        .build()
}

async fn get<K, V>(
    cache: &Reads<K, V>,
    key: AsOf<K>,
    load: impl Future<Output = Result<V, StoreError>>,
) -> Result<V, StoreError>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let load = async {
        let asked = Instant::now();
        load.await.map(|value| Read { value, asked })
    };
    match cache.try_get_with(key, load).await {
        Ok(read) => Ok(read.value),
        Err(error) => Err((*error).clone()),
    }
}

/// Products share these counters by id: a few more reads after a change, in exchange for a bounded number of counters.
const CHANGE_COUNTERS: usize = 1_024;

pub(super) struct Shelf {
    store: Arc<dyn Store>,
    products: Reads<ProductId, Option<Arc<Product>>>,
    pages: Reads<(Option<i64>, u32), Arc<Page<ProductView>>>,
    cards: Reads<Arc<[ProductId]>, Arc<Vec<Product>>>,
    changes: Vec<AtomicU64>,
    changes_in_all: AtomicU64,
}

impl Shelf {
    pub(super) fn new(store: Arc<dyn Store>, settings: &Settings) -> Self {
        let ttl = Duration::from_millis(settings.ttl_ms);
        Self {
            store,
            products: reads(settings.products_max, ttl),
            pages: reads(settings.pages_max, ttl),
            cards: reads(settings.card_lists_max, ttl),
            changes: (0..CHANGE_COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            changes_in_all: AtomicU64::new(0),
        }
    }

    fn changes_of(&self, id: ProductId) -> &AtomicU64 {
        // The remainder is below the length.
        &self.changes[id.get().unsigned_abs() as usize % CHANGE_COUNTERS]
    }

    /// To be called after a command on the product was committed, or may have been.
    pub(super) fn forget(&self, id: ProductId) {
        self.changes_of(id).fetch_add(1, Ordering::Release);
        self.changes_in_all.fetch_add(1, Ordering::Release);
    }

    pub(super) async fn product(&self, id: ProductId) -> Result<Option<Arc<Product>>, StoreError> {
        let key = (self.changes_of(id).load(Ordering::Acquire), id);
        get(&self.products, key, async {
            count_read("product");
            let found = self.store.products(&[id]).await?;
            Ok(found.into_iter().next().map(Arc::new))
        })
        .await
    }

    pub(super) async fn page(
        &self,
        asked: PageRequest,
    ) -> Result<Arc<Page<ProductView>>, StoreError> {
        let after = asked.after.map(|cursor| cursor.major);
        let changes = self.changes_in_all.load(Ordering::Acquire);
        get(&self.pages, (changes, (after, asked.limit)), async {
            count_read("page");
            // One more than the page tells whether another follows.
            let rows = self.store.page(after, asked.limit + 1).await?;
            let views = rows.iter().map(Product::view).collect();
            Ok(Arc::new(Page::cut(views, asked.limit, |view| Cursor {
                major: view.id.get(),
                minor: 0,
            })))
        })
        .await
    }

    pub(super) async fn cards(&self, ids: &[ProductId]) -> Result<Arc<Vec<Product>>, StoreError> {
        let changes = self.changes_in_all.load(Ordering::Acquire);
        let key: Arc<[ProductId]> = ids.into();
        get(&self.cards, (changes, key), async {
            count_read("cards");
            let mut found = self.store.products(ids).await?;
            let place = |product: &Product| ids.iter().position(|id| *id == product.id);
            found.sort_by_key(place);
            Ok(Arc::new(found))
        })
        .await
    }
}

fn count_read(kind: &'static str) {
    metrics::counter!("madang_catalogue_database_reads_total", "kind" => kind).increment(1);
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
