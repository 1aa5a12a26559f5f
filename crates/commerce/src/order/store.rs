//! What orders need from a database. Implemented in `stores`, called by `Orders` and its batches.

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::cancel::{self, CancelOrder, Cancellation};
use super::decide::{Decision, Snapshot};
use super::follow_ups::Outlet;
use super::model::{Order, Pending, Turn};
use crate::answer::{Answer, Answered, Keyed, StoreError};
use crate::ids::{OrderId, UserId};
use crate::page::PageRequest;

/// Orders to be decided in turn and committed together, each accepted or refused on its own.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// In order of arrival.
    pub orders: &'a [Pending],
    pub decide: fn(&Snapshot, &[&Pending]) -> Vec<Decision>,
    pub render: fn(&Decision) -> Answer,
    pub outlet: &'a Outlet,
    pub turnstile: &'a Turnstile,
}

/// How many batches read, decide and write at once. A batch passes when only its COMMIT is outstanding: what it waits for then
/// is the disk, and the next one need not.
#[derive(Debug)]
pub struct Turnstile(Mutex<Option<OwnedSemaphorePermit>>);

impl Turnstile {
    #[must_use]
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Mutex::new(Some(permit)))
    }

    /// Lets the next batch begin. One that is carried out again after that does so beside it.
    pub fn pass(&self) {
        drop(self.0.lock().take());
    }
}

/// How one order of a batch ended.
#[derive(Clone, Debug)]
pub struct Placed {
    pub answered: Answered,
    /// `None` where the answer came from an earlier request's record.
    pub decision: Option<Decision>,
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Loads what the batch touches under lock, decides, and commits orders, lines, stock, ledger, coupons, idempotency records
    /// and outbox rows in one transaction. One answer an order, in their order; on an error nothing was done to any.
    /// `StoreError::Failed` may be the fault of a single order.
    async fn place(&self, batch: Batch<'_>) -> Result<Vec<Placed>, StoreError>;

    /// Takes an order back (`CancelOrder::decide`) in one transaction. The turn is given where it was cancelled just now.
    async fn cancel(
        &self,
        cancel: Keyed<'_, CancelOrder, Cancellation, cancel::Refusal>,
        outlet: &Outlet,
    ) -> Result<(Answered, Option<Turn>), StoreError>;

    async fn find(&self, order: OrderId) -> Result<Option<Order>, StoreError>;

    /// The user's orders, newest first by (created_at, id), from after the cursor, at most one more than the limit.
    async fn page(&self, user: UserId, page: PageRequest) -> Result<Vec<Order>, StoreError>;
}
