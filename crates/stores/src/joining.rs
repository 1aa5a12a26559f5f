//! Joins that wait at the same time are admitted together: one transaction, or one script call a campaign, whatever their number.
//! Both coupon queues use this; each is a `Carry` of its own.

use commerce::coupon::queue::{Error, Joined};
use commerce::ids::{CouponId, UserId};
use commerce::together::{Carry, Settings, Together};

#[derive(Clone, Copy, Debug)]
pub struct Join {
    pub coupon: CouponId,
    pub user: UserId,
    /// The shop's clock, in microseconds: what the claim window is judged by.
    pub now_us: i64,
}

/// Must be called within a tokio runtime.
pub fn start<C: Carry>(settings: &Settings, admit: C) -> Together<C> {
    Together::start(settings, "madang_coupon_join_batch_size", admit)
}

/// # Errors
/// The engine's; `Unavailable` while the process is stopping.
pub async fn join<C>(together: &Together<C>, join: Join) -> Result<Joined, Error>
where
    C: Carry<Request = Join, Answer = Result<Joined, Error>>,
{
    together.ask(join).await?
}
