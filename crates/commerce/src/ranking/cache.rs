//! Answers kept in the process for about a second, so that however many ask, the board or the database is asked once.
//! Recounts are kept longer: they cost more. Only the service beside this file uses it.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use moka::Expiry;
use moka::future::Cache as Moka;

use super::model::{Place, Standing, Window};
use crate::answer::StoreError;
use crate::ids::ProductId;

/// Windows times the days that may be today at once, with room.
const WINDOWS_MAX: u64 = 64;
const PLACES_MAX: u64 = 10_000;

type WindowKey = (Window, Option<Date>);
type PlaceKey = (ProductId, Window, Option<Date>);

pub struct Cache {
    standings: Moka<WindowKey, Kept<Arc<Vec<Standing>>>>,
    places: Moka<PlaceKey, Kept<Place>>,
}

#[derive(Clone)]
struct Kept<T> {
    value: T,
    recounted: bool,
}

struct Ages {
    board: Duration,
    recount: Duration,
}

impl<K, T> Expiry<K, Kept<T>> for Ages {
    fn expire_after_create(&self, _: &K, kept: &Kept<T>, _: Instant) -> Option<Duration> {
        Some(if kept.recounted {
            self.recount
        } else {
            self.board
        })
    }
}

impl Cache {
    pub fn new(board_ms: u64, recount_ms: u64) -> Self {
        Self {
            standings: build(WINDOWS_MAX, board_ms, recount_ms),
            places: build(PLACES_MAX, board_ms, recount_ms),
        }
    }

    /// `read` runs once for all who ask at the same time; its flag says whether it was a recount.
    pub async fn standings(
        &self,
        key: WindowKey,
        read: impl Future<Output = Result<(Vec<Standing>, bool), StoreError>>,
    ) -> Result<Arc<Vec<Standing>>, StoreError> {
        let read = async {
            read.await
                .map(|(list, recounted)| (Arc::new(list), recounted))
        };
        get(&self.standings, key, read).await
    }

    /// As `standings`.
    pub async fn place(
        &self,
        key: PlaceKey,
        read: impl Future<Output = Result<(Place, bool), StoreError>>,
    ) -> Result<Place, StoreError> {
        get(&self.places, key, read).await
    }
}

fn build<K, T>(max: u64, board_ms: u64, recount_ms: u64) -> Moka<K, Kept<T>>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    let ages = Ages {
        board: Duration::from_millis(board_ms),
        recount: Duration::from_millis(recount_ms),
    };
    Moka::builder().max_capacity(max).expire_after(ages).build()
}

async fn get<K, T>(
    cache: &Moka<K, Kept<T>>,
    key: K,
    read: impl Future<Output = Result<(T, bool), StoreError>>,
) -> Result<T, StoreError>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    let read = async {
        let (value, recounted) = read.await?;
        Ok::<_, StoreError>(Kept { value, recounted })
    };
    match cache.try_get_with(key, read).await {
        Ok(kept) => Ok(kept.value),
        Err(error) => Err(StoreError::clone(&error)),
    }
}
