//! A store that a test plays: it places whatever it is given, one batch at a time, and fails where it was told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use messaging::outbox::Event;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{at, product, stocked, user, won};
use crate::answer::{Answered, Keyed, StoreError};
use crate::catalogue::Listing;
use crate::clock::SystemClock;
use crate::ids::{Allocator, OrderId, Range, Series, Source, UserId};
use crate::order::{
    Batch, CancelOrder, Cancellation, Events, FollowUp, FollowUps, InlineFollowUps, Order, Orders,
    Outlet, Placed, Settings, Snapshot, Store, Turn, cancel::Refusal,
};
use crate::page::PageRequest;

pub struct Played {
    /// Users of each batch, in its order.
    pub batches: Mutex<Vec<Vec<i64>>>,
    /// Batches may go on while there are permits.
    pub gate: Semaphore,
    /// Whether it says, before it waits at the gate, that only its commit is outstanding.
    pub passes: AtomicBool,
    /// A batch with this user fails like this.
    pub fault: Mutex<Option<(i64, StoreError)>>,
    orders: Mutex<HashMap<OrderId, Order>>,
}

impl Played {
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            batches: Mutex::default(),
            gate: Semaphore::new(1_000),
            passes: AtomicBool::default(),
            fault: Mutex::default(),
            orders: Mutex::default(),
        })
    }
}

#[async_trait]
impl Store for Played {
    async fn place(&self, batch: Batch<'_>) -> Result<Vec<Placed>, StoreError> {
        let users: Vec<i64> = batch.orders.iter().map(|o| o.place.user.get()).collect();
        self.batches.lock().push(users.clone());
        if self.passes.load(Ordering::Relaxed) {
            batch.turnstile.pass();
        }
        match self.gate.acquire().await {
            Ok(permit) => permit.forget(),
            Err(closed) => return Err(StoreError::Failed(closed.to_string())),
        }
        if let Some((_, error)) = self.fault.lock().as_ref().filter(|f| users.contains(&f.0)) {
            return Err(error.clone());
        }
        let everyone = users.iter().map(|id| (user(*id), won(1_000_000)));
        let snapshot = Snapshot {
            now: at("2026-11-22T00:00:00Z"),
            products: HashMap::from([(product(1), stocked("one", 10, 1_000, Listing::OnSale))]),
            wallets: everyone.collect(),
            coupons: HashMap::new(),
        };
        let orders: Vec<_> = batch.orders.iter().collect();
        let decisions = (batch.decide)(&snapshot, &orders);
        let placed = decisions.into_iter().map(|decision| {
            if let Ok(placement) = &decision {
                let order = placement.turn.order.clone();
                self.orders.lock().insert(order.id, order);
            }
            Placed {
                answered: Answered::Fresh((batch.render)(&decision)),
                decision: Some(decision),
            }
        });
        Ok(placed.collect())
    }

    async fn cancel(
        &self,
        cancel: Keyed<'_, CancelOrder, Cancellation, Refusal>,
        _: &Outlet,
    ) -> Result<(Answered, Option<Turn>), StoreError> {
        let mut orders = self.orders.lock();
        let decided = cancel
            .command
            .decide(orders.get(&cancel.command.order), won(0));
        let turn = decided.as_ref().ok().map(|done| done.turn.clone());
        if let Some(turn) = &turn {
            orders.insert(turn.order.id, turn.order.clone());
        }
        Ok((Answered::Fresh((cancel.render)(&decided)), turn))
    }

    async fn find(&self, order: OrderId) -> Result<Option<Order>, StoreError> {
        Ok(self.orders.lock().get(&order).cloned())
    }

    async fn page(&self, user: UserId, _: PageRequest) -> Result<Vec<Order>, StoreError> {
        let orders = self.orders.lock();
        Ok(orders
            .values()
            .filter(|o| o.user_id == user)
            .cloned()
            .collect())
    }
}

/// Numbers from 1 up, in every series.
struct Counting;

#[async_trait]
impl Source for Counting {
    async fn reserve(&self, _: Series, _: u32) -> Result<Range, String> {
        Ok(Range {
            first: 1,
            end: 1_000_000,
        })
    }
}

struct NoInline;

#[async_trait]
impl InlineFollowUps for NoInline {
    async fn run(&self, step: FollowUp, _: &[Event]) -> Result<(), String> {
        Err(format!("{step:?} goes by event"))
    }
}

pub fn orders(store: Arc<Played>, settings: Settings) -> Arc<Orders> {
    let outlet = Outlet::new(Events::default(), FollowUps::default(), Arc::new(NoInline));
    let ids = Arc::new(Allocator::new(Arc::new(Counting), 1));
    let clock = Arc::new(SystemClock);
    Arc::new(Orders::new(store, ids, clock, outlet, settings))
}
