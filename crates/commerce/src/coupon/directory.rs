//! Campaigns kept in the process for about a second, so that a join does not read the database.
//! Only what hardly changes is taken from here (that it exists, its mode and name): window, state and quota are the queue's to judge.
//! When the database is away the last known answer stands. Joins and status use it.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::model::Campaign;
use super::store::Store;
use crate::answer::StoreError;
use crate::ids::CouponId;

/// How long an answer stands while the database is away.
const STALE_MS: u64 = 3_600_000;
/// How long the database is waited for while there is an older answer.
const REREAD_MS: u64 = 500;

type Known = Option<Arc<Campaign>>;

pub struct Directory {
    store: Arc<dyn Store>,
    fresh: Cache<CouponId, Known>,
    stale: Cache<CouponId, Known>,
}

impl Directory {
    pub fn new(store: Arc<dyn Store>, cache_ms: u64, cache_max: u64) -> Self {
        let cache = |ms| {
            Cache::builder()
                .max_capacity(cache_max)
                .time_to_live(Duration::from_millis(ms))
                .build()
        };
        Self {
            store,
            fresh: cache(cache_ms.max(1)),
            stale: cache(STALE_MS),
        }
    }

    /// `None`: there is no such campaign. However many ask, the database is asked once at a time.
    pub async fn get(&self, coupon: CouponId) -> Result<Known, StoreError> {
        if let Some(known) = self.fresh.get(&coupon).await {
            return Ok(known);
        }
        let load = self.load(coupon);
        self.fresh
            .try_get_with(coupon, load)
            .await
            .map_err(|e: Arc<StoreError>| (*e).clone())
    }

    pub async fn forget(&self, coupon: CouponId) {
        self.fresh.invalidate(&coupon).await;
    }

    async fn load(&self, coupon: CouponId) -> Result<Known, StoreError> {
        let read = self.store.find(coupon);
        let found = match self.stale.get(&coupon).await {
            None => read.await?,
            Some(older) => {
                match tokio::time::timeout(Duration::from_millis(REREAD_MS), read).await {
                    Ok(Ok(found)) => found,
                    Ok(Err(StoreError::Failed(cause))) => return Err(StoreError::Failed(cause)),
                    Ok(Err(_)) | Err(_) => return Ok(older),
                }
            }
        };
        let known = found.map(Arc::new);
        self.stale.insert(coupon, known.clone()).await;
        Ok(known)
    }
}
