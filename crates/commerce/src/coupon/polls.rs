//! Polls of places that wait at the same time are one question a campaign to the queue.
//! Who has no place is another's affair: `standing` goes on to the database.

use std::sync::Arc;

use async_trait::async_trait;

use super::queue::{Error, Queue};
use super::standing::Standing;
use crate::ids::{CouponId, UserId};
use crate::together::{Carry, Settings, Together, in_groups};

/// What the queue says of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// It does not know the campaign.
    Unknown,
    /// It knows no place of this user.
    Nobody,
    Standing(Standing),
}

struct Asking(Arc<dyn Queue>);

pub struct Polls(Together<Asking>);

impl Polls {
    /// Must be called within a tokio runtime.
    pub fn start(settings: &Settings, queue: Arc<dyn Queue>) -> Self {
        Self(Together::start(
            settings,
            "madang_coupon_poll_batch_size",
            Asking(queue),
        ))
    }

    /// # Errors
    /// Those of the queue.
    pub async fn ask(&self, coupon: CouponId, user: UserId) -> Result<Polled, Error> {
        self.0.ask((coupon, user)).await?
    }
}

#[async_trait]
impl Carry for Asking {
    type Request = (CouponId, UserId);
    type Answer = Result<Polled, Error>;

    async fn carry(&self, polls: &[(CouponId, UserId)]) -> Vec<Result<Polled, Error>> {
        in_groups(
            polls,
            |(coupon, _)| *coupon,
            |coupon, polls| async move {
                let users: Vec<UserId> = polls.into_iter().map(|(_, user)| user).collect();
                self.campaign(coupon, &users).await
            },
        )
        .await
    }
}

impl Asking {
    async fn campaign(&self, coupon: CouponId, users: &[UserId]) -> Vec<Result<Polled, Error>> {
        let standings = match self.0.standings(coupon, users).await {
            Ok(Some(standings)) => standings,
            Ok(None) => return vec![Ok(Polled::Unknown); users.len()],
            Err(error) => return vec![Err(error); users.len()],
        };
        let entries = standings.entries.iter();
        let told = entries.map(|entry| match entry {
            Some(entry) => Polled::Standing(Standing::of(coupon, *entry, &standings)),
            None => Polled::Nobody,
        });
        told.map(Ok).collect()
    }
}
