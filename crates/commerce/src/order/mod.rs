//! Orders: placing, showing, listing and taking them back. What an order may do to stock, wallets and coupons is decided in
//! `decide` and `cancel`; its transaction is the store's. The binary builds `Orders`.

pub mod cancel;
pub mod decide;
pub mod events;
pub mod follow_ups;
pub mod http;
pub mod model;
mod place;
pub mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::answer::{Answered, Claim, Keyed, StoreError};
use crate::clock::Clock;
use crate::ids::{Allocator, Exhausted, OrderId, Series, UserCouponId, UserId};
use crate::page::{Cursor, Page, PageRequest};

pub use cancel::{CancelOrder, Cancellation};
pub use decide::{Decision, HeldCoupon, Placement, Refusal, Snapshot, Stocked, decide};
pub use events::Events;
pub use follow_ups::{FollowUp, FollowUps, InlineFollowUps, Mode, Outlet};
pub use model::{
    EventNumbers, Line, Lines, Numbers, Order, OrderLine, Payment, Pending, PlaceOrder, Status,
    Turn,
};
pub use store::{Batch, Placed, Store, Turnstile};

use place::{Committer, Waiting};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Orders that may wait for a batch; more are told to come back.
    pub queue_max: usize,
    /// Orders committed together at most.
    pub batch_max: usize,
    /// Batches between their first read and the end of their commit at once: 3 keep MySQL busy; 1 where one thread writes.
    pub batches_in_flight: usize,
    /// Of these, batches that have not come to their commit: 1, so that those that come next are larger.
    pub batches_before_commit: usize,
    /// How long an order waits for company at most, while others are being committed.
    pub gather_max_ms: u64,
    /// Batches that are too small for their price begin at least this far apart; 0: whenever they can.
    pub batch_interval_ms: u64,
    /// After so long without word from the store, the outcome of a batch is unknown.
    pub batch_timeout_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_max: 4_096,
            batch_max: 256,
            batches_in_flight: 3,
            batches_before_commit: 1,
            gather_max_ms: 20,
            batch_interval_ms: 5,
            batch_timeout_ms: 30_000,
        }
    }
}

const FULL: &str = "events of earlier orders wait for the event log, and no more may wait";

/// Whether as many events wait for the event log as may: then nothing is taken that would write more of them. Whoever watches
/// the outbox sets it; what is in hand at that moment still goes in.
#[derive(Debug, Default)]
pub struct Backlog(AtomicBool);

impl Backlog {
    /// Whether it was otherwise before.
    pub fn set_full(&self, full: bool) -> bool {
        self.0.swap(full, Ordering::Relaxed) != full
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why an order was neither placed nor refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The queue is full: 503.
    #[error("too many orders are waiting")]
    Overloaded,
    /// The outbox is full: 503.
    #[error("{FULL}")]
    BacklogFull,
    /// Has been logged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The orders of one shop.
pub struct Orders {
    store: Arc<dyn Store>,
    ids: Arc<Allocator>,
    clock: Arc<dyn Clock>,
    outlet: Arc<Outlet>,
    queue: mpsc::Sender<Waiting>,
    backlog: Arc<Backlog>,
}

impl Orders {
    /// Starts the task that gathers batches; it ends when the last `Orders` is dropped. An inline data platform commits one
    /// order at a time, since its failure fails the order.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        ids: Arc<Allocator>,
        clock: Arc<dyn Clock>,
        outlet: Outlet,
        mut settings: Settings,
    ) -> Self {
        if outlet.follow_ups().data_platform == Mode::Inline {
            settings.batch_max = 1;
        }
        let outlet = Arc::new(outlet);
        let (queue, waiting) = mpsc::channel(settings.queue_max.max(1));
        let committer = Committer {
            store: store.clone(),
            ids: ids.clone(),
            outlet: outlet.clone(),
            settings,
        };
        tokio::spawn(place::gather(waiting, Arc::new(committer)));
        Self {
            store,
            ids,
            clock,
            outlet,
            queue,
            backlog: Arc::default(),
        }
    }

    /// To be set by whoever watches the outbox.
    #[must_use]
    pub fn backlog(&self) -> Arc<Backlog> {
        self.backlog.clone()
    }

    /// Places an order, or refuses it: both are answers.
    ///
    /// # Errors
    /// Neither happened, or which of them is not known.
    pub async fn place(
        &self,
        user: UserId,
        lines: Lines,
        coupon: Option<UserCouponId>,
        traceparent: Option<String>,
        claim: Option<Claim>,
    ) -> Result<Answered, Error> {
        if self.backlog.is_full() {
            metrics::counter!("madang_orders_total", "outcome" => "overloaded").increment(1);
            return Err(Error::BacklogFull);
        }
        let (answer, answered) = oneshot::channel();
        let place = PlaceOrder {
            user,
            lines,
            coupon,
            at: self.clock.now(),
            traceparent,
        };
        let waiting = Waiting {
            place,
            claim,
            answer,
        };
        if self.queue.try_send(waiting).is_err() {
            metrics::counter!("madang_orders_total", "outcome" => "overloaded").increment(1);
            return Err(Error::Overloaded);
        }
        // A batch that panicked has dropped the other end.
        let lost = |_| StoreError::OutcomeUnknown("the batch ended without an answer".into());
        Ok(answered.await.map_err(lost)??)
    }

    /// Takes an order back. `owner`: whose it has to be; `None` for an operator.
    ///
    /// # Errors
    /// Those of the store; a refusal is an answer.
    pub async fn cancel(
        &self,
        order: OrderId,
        owner: Option<UserId>,
        traceparent: Option<String>,
        claim: Option<&Claim>,
    ) -> Result<Answered, StoreError> {
        if self.backlog.is_full() {
            return Err(StoreError::Unavailable(FULL.to_owned()));
        }
        // An order's lines never change: what is read here is good for counting the numbers it needs.
        let found = self.store.find(order).await?;
        let products = found.map_or(0, |order| order.shares().len());
        let (refund, restocks, events) = self
            .cancel_numbers(products)
            .await
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let keyed = Keyed {
            command: CancelOrder {
                order,
                owner,
                at: self.clock.now(),
                traceparent,
                refund,
                restocks,
                events,
            },
            claim,
            render: &http::cancel_answer,
        };
        let (answered, turn) = self.store.cancel(keyed, &self.outlet).await?;
        if let Some(turn) = turn {
            self.outlet.after_commit(&turn).await;
            metrics::counter!("madang_orders_total", "outcome" => "cancelled").increment(1);
        }
        Ok(answered)
    }

    async fn cancel_numbers(
        &self,
        products: usize,
    ) -> Result<(i64, Vec<i64>, EventNumbers), Exhausted> {
        let refund = self.ids.one(Series::WalletEntry).await?;
        let restocks = self.ids.take(Series::StockEntry, products).await?;
        let events = EventNumbers {
            completed: self.ids.one(Series::OrderCompletedEvent).await?,
            data_platform: self.ids.one(Series::DataPlatformEvent).await?,
            ranking: self.ids.take(Series::ProductRankingEvent, products).await?,
        };
        Ok((refund, restocks, events))
    }

    /// # Errors
    /// Those of the store.
    pub async fn find(&self, order: OrderId) -> Result<Option<Order>, StoreError> {
        self.store.find(order).await
    }

    /// The user's orders, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn page(&self, user: UserId, page: PageRequest) -> Result<Page<Order>, StoreError> {
        let rows = self.store.page(user, page).await?;
        Ok(Page::cut(rows, page.limit, |order| Cursor {
            major: order.created_at.as_microsecond(),
            minor: order.id.get(),
        }))
    }
}
