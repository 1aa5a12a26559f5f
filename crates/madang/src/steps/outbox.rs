//! The relay's reads and its giving up of leases as steps; taking leases and deleting are transactions with points of their own.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use messaging::failpoint::Injected;
use messaging::outbox::{Depth, Error, Lease, Page, Store};
use uuid::Uuid;

use super::step;

pub struct Steps(pub Arc<dyn Store>);

fn away(injected: Injected) -> Error {
    Error::Unavailable(injected.to_string())
}

#[async_trait]
impl Store for Steps {
    async fn lease(&self, shard: i32, owner: &str, lease_ms: u64) -> Result<Option<Lease>, Error> {
        self.0.lease(shard, owner, lease_ms).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        step!("outbox.release", away, self.0.release(lease))
    }

    async fn head(
        &self,
        shard: i32,
        after: Option<Uuid>,
        limit: u32,
        except: &HashSet<Uuid>,
    ) -> Result<Page, Error> {
        step!(
            "outbox.read",
            away,
            self.0.head(shard, after, limit, except)
        )
    }

    async fn delete(&self, lease: &Lease, ids: &[Uuid]) -> Result<(), Error> {
        self.0.delete(lease, ids).await
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.0.depth().await
    }
}
