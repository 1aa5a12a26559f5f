//! Bringing a campaign into the queue: for the first time, or in a new epoch after the queue lost what it had.
//! It takes no lock of its own: the database and the queue each let only one epoch through. Joins and recovery use it.

use std::sync::Arc;

use super::model::Campaign;
use super::queue::{Queue, Terms};
use super::store::Epochs;
use super::{queue, store};
use crate::answer::StoreError;
use crate::ids::CouponId;

/// Holders read in one page.
const HOLDERS_PAGE: u32 = 5_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] queue::Error),
}

#[derive(Clone)]
pub struct Opening {
    store: Arc<dyn Epochs>,
    queue: Arc<dyn Queue>,
    keep_ms: u64,
}

impl Opening {
    /// `keep_ms`: how long the queue keeps places and results after the claim window.
    #[must_use]
    pub fn new(store: Arc<dyn store::Epochs>, queue: Arc<dyn Queue>, keep_ms: u64) -> Self {
        Self {
            store,
            queue,
            keep_ms,
        }
    }

    #[must_use]
    pub fn terms(&self, campaign: &Campaign) -> Terms {
        Terms::of(campaign, self.keep_ms)
    }

    /// Tells the queue of a campaign that it was never told of. `false`: it was; then only recovery may.
    ///
    /// # Errors
    /// Those of the two stores. What was noted in the database only is found, and healed, by recovery.
    pub async fn first(&self, coupon: CouponId) -> Result<bool, Error> {
        let Some(campaign) = self.store.open_first(coupon).await? else {
            return Ok(false);
        };
        self.rebuild(&campaign).await?;
        Ok(true)
    }

    /// Starts the next epoch in the database, then in the queue.
    ///
    /// # Errors
    /// Those of the two stores; to be repeated as a whole.
    pub async fn again(&self, coupon: CouponId) -> Result<(), Error> {
        // Joins of the old epoch end here, in case the queue still has it.
        self.queue.suspend(coupon).await?;
        let Some(campaign) = self.store.next_epoch(coupon).await? else {
            return Ok(());
        };
        tracing::warn!(
            coupon = coupon.get(),
            epoch = campaign.range.epoch,
            base = campaign.range.base,
            slots = campaign.range.slots,
            "a coupon queue starts a new epoch"
        );
        self.rebuild(&campaign).await
    }

    async fn rebuild(&self, campaign: &Campaign) -> Result<(), Error> {
        let mut holders = Vec::new();
        loop {
            let after = holders.last().map(|h: &super::model::Holder| h.user);
            let page = self.store.holders(campaign.id, after, HOLDERS_PAGE).await?;
            let full = page.len() >= HOLDERS_PAGE as usize;
            holders.extend(page);
            if !full {
                break;
            }
        }
        self.queue.rebuild(&self.terms(campaign), &holders).await?;
        Ok(())
    }
}
