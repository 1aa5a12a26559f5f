//! The coupon queue's calls as steps.

use std::sync::Arc;

use async_trait::async_trait;
use commerce::coupon::Queue;
use commerce::coupon::model::Holder;
use commerce::coupon::queue::{
    Ask, Error, Incarnation, Joined, Known, Lease, Leased, Settled, Standings, Terms,
};
use commerce::ids::{CouponId, UserId};
use messaging::failpoint::Injected;

use super::step;

pub struct Steps(pub Arc<dyn Queue>);

fn away(injected: Injected) -> Error {
    Error::Unavailable(injected.to_string())
}

#[async_trait]
impl Queue for Steps {
    async fn join(&self, coupon: CouponId, user: UserId, now_us: i64) -> Result<Joined, Error> {
        step!("queue.join", away, self.0.join(coupon, user, now_us))
    }

    async fn standings(
        &self,
        coupon: CouponId,
        users: &[UserId],
    ) -> Result<Option<Standings>, Error> {
        step!("queue.standings", away, self.0.standings(coupon, users))
    }

    async fn refresh(&self, terms: &Terms) -> Result<Known, Error> {
        step!("queue.refresh", away, self.0.refresh(terms))
    }

    async fn shrink(&self, coupon: CouponId, slots: i64) -> Result<Result<(), i64>, Error> {
        step!("queue.shrink", away, self.0.shrink(coupon, slots))
    }

    async fn lease(&self, ask: Ask<'_>) -> Result<Leased, Error> {
        step!("queue.lease", away, self.0.lease(ask))
    }

    async fn acknowledge(&self, lease: &Lease, users: &[UserId]) -> Result<bool, Error> {
        step!("queue.acknowledge", away, self.0.acknowledge(lease, users))
    }

    async fn give_back(&self, coupon: CouponId, numbers: &[(UserId, i64)]) -> Result<(), Error> {
        step!("queue.give-back", away, self.0.give_back(coupon, numbers))
    }

    async fn resign(&self, coupon: CouponId, owner: &str) -> Result<(), Error> {
        step!("queue.resign", away, self.0.resign(coupon, owner))
    }

    async fn settle(&self, coupon: CouponId, results: &[Settled]) -> Result<(), Error> {
        step!("queue.settle", away, self.0.settle(coupon, results))
    }

    async fn incarnation(&self) -> Result<Incarnation, Error> {
        step!("queue.incarnation", away, self.0.incarnation())
    }

    async fn reopen(&self, coupons: &[CouponId]) -> Result<String, Error> {
        step!("queue.reopen", away, self.0.reopen(coupons))
    }

    async fn suspend(&self, coupon: CouponId) -> Result<(), Error> {
        step!("queue.suspend", away, self.0.suspend(coupon))
    }

    async fn rebuild(&self, terms: &Terms, holders: &[Holder]) -> Result<(), Error> {
        step!("queue.rebuild", away, self.0.rebuild(terms, holders))
    }

    async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}
