//! The issuing consumer: messages in, decided against the database in one transaction a batch, results out to the queue.
//! A crash between commit and results is healed by redelivery: the same messages are decided the same. Run by the consumer runtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use messaging::consumer::{Event, Failure, Handler, Outcome, Verdict};

use super::events;
use super::issue::{self, Decision, Numbered};
use super::queue::{Queue, Settled, Settlement};
use super::store::Issuing;
use super::{Coupons, Error};
use crate::answer::StoreError;
use crate::clock::Clock;
use crate::ids::{Allocator, CouponId, Series, UserCouponId, UserId};

pub struct IssueHandler {
    coupons: Arc<Coupons>,
    issuing: Arc<dyn Issuing>,
    queue: Arc<dyn Queue>,
    ids: Arc<Allocator>,
    clock: Arc<dyn Clock>,
}

/// What becomes of a whole batch when something outside its records fails.
enum Trouble {
    Outside(Failure),
    Inside(Failure),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Unavailable(_) => Self::Outside(Failure::new("StoreUnavailable", text)),
            // Deciding again finds what was committed.
            StoreError::OutcomeUnknown(_) => Self::Outside(Failure::new("OutcomeUnknown", text)),
            StoreError::FollowUp(_) => Self::Outside(Failure::new("FollowUpFailed", text)),
            StoreError::Failed(_) => Self::Inside(Failure::new("StoreFailed", text)),
        }
    }
}

impl From<super::queue::Error> for Trouble {
    fn from(error: super::queue::Error) -> Self {
        Self::Outside(Failure::new("QueueUnavailable", error.to_string()))
    }
}

#[async_trait]
impl Handler for IssueHandler {
    async fn handle(&self, batch: &[Event]) -> Verdict {
        match self.outcomes(batch).await {
            Ok(outcomes) => Verdict::Each(outcomes),
            Err(Trouble::Outside(failure)) => Verdict::RetryAll(failure),
            Err(Trouble::Inside(failure)) => Verdict::Suspect(failure),
        }
    }
}

impl IssueHandler {
    #[must_use]
    pub fn new(
        coupons: Arc<Coupons>,
        issuing: Arc<dyn Issuing>,
        queue: Arc<dyn Queue>,
        ids: Arc<Allocator>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            coupons,
            issuing,
            queue,
            ids,
            clock,
        }
    }

    async fn outcomes(&self, batch: &[Event]) -> Result<Vec<Outcome>, Trouble> {
        let mut outcomes = vec![Outcome::Done; batch.len()];
        let mut numbered = Vec::new();
        let mut joining = Vec::new();
        for (i, event) in batch.iter().enumerate() {
            match events::read(&event.record) {
                Err(why) => outcomes[i] = Outcome::Dead(Failure::new("MalformedValue", why)),
                Ok(request) => match request.number {
                    Some((epoch, sequence)) => numbered.push((
                        i,
                        Numbered {
                            coupon: request.coupon,
                            user: request.user,
                            epoch,
                            sequence,
                        },
                    )),
                    None => joining.push((i, request.coupon, request.user)),
                },
            }
        }
        let requests: Vec<Numbered> = numbered.iter().map(|(_, request)| *request).collect();
        let decisions = self.issue(&requests).await?;
        self.report(&requests, &decisions).await?;
        for ((i, _), decision) in numbered.iter().zip(&decisions) {
            outcomes[*i] = outcome(*decision);
        }
        for (i, coupon, user) in joining {
            outcomes[i] = self.join(coupon, user).await?;
        }
        Ok(outcomes)
    }

    async fn issue(&self, requests: &[Numbered]) -> Result<Vec<Decision>, Trouble> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let ids = self.ids.take(Series::UserCoupon, requests.len()).await;
        let ids = ids.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let ids: Result<Vec<_>, _> = ids.into_iter().map(UserCouponId::try_from).collect();
        let ids = ids.map_err(StoreError::Failed)?;
        let decide = |snapshot: &issue::Snapshot| issue::decide(snapshot, requests, &ids);
        let now = self.clock.now();
        Ok(self.issuing.issue(requests, now, &decide).await?)
    }

    /// Tells the queue how each number ended.
    async fn report(&self, requests: &[Numbered], decisions: &[Decision]) -> Result<(), Trouble> {
        let mut results: BTreeMap<CouponId, Vec<Settled>> = BTreeMap::new();
        let mut returned: BTreeMap<CouponId, Vec<(UserId, i64)>> = BTreeMap::new();
        for (request, decision) in requests.iter().zip(decisions) {
            let (word, settlement) = match decision {
                Decision::Issue(id) => ("issued", Settlement::Issued(*id)),
                Decision::Held { id, .. } => ("held", Settlement::Issued(*id)),
                Decision::SoldOut => ("sold-out", Settlement::SoldOut),
                Decision::Restarted => ("restarted", Settlement::Restarted),
                Decision::Closed { .. } => ("closed", Settlement::Closed),
                Decision::Return => {
                    let number = (request.user, request.sequence);
                    returned.entry(request.coupon).or_default().push(number);
                    continue;
                }
                Decision::NumberTaken | Decision::UnknownCoupon => continue,
            };
            metrics::counter!("madang_coupon_decisions_total", "decision" => word).increment(1);
            results.entry(request.coupon).or_default().push(Settled {
                user: request.user,
                sequence: request.sequence,
                settlement,
            });
        }
        for (coupon, results) in &results {
            self.queue.settle(*coupon, results).await?;
        }
        for (coupon, numbers) in &returned {
            self.queue.give_back(*coupon, numbers).await?;
        }
        Ok(())
    }

    /// A message without a number is a claim like any other. A refusal needs no answer: nobody waits for one.
    async fn join(&self, coupon: CouponId, user: UserId) -> Result<Outcome, Trouble> {
        match self.coupons.claim(coupon, user).await {
            Ok(_) => Ok(Outcome::Done),
            Err(Error::Refused(super::Refusal::NotFound)) => Ok(unknown()),
            Err(Error::Refused(refusal)) => {
                tracing::debug!(
                    coupon = coupon.get(),
                    user = user.get(),
                    code = refusal.code(),
                    "a claim by message was refused"
                );
                Ok(Outcome::Done)
            }
            Err(Error::Store(error)) => Err(error.into()),
            Err(Error::Queue(error)) => Err(error.into()),
            Err(error @ (Error::Recovering | Error::TooManyStreams)) => Err(Trouble::Outside(
                Failure::new("QueueUnavailable", error.to_string()),
            )),
        }
    }
}

fn outcome(decision: Decision) -> Outcome {
    match decision {
        Decision::UnknownCoupon => unknown(),
        Decision::NumberTaken => Outcome::Dead(Failure::new(
            "NumberTaken",
            "this place of the queue is another user's",
        )),
        _ => Outcome::Done,
    }
}

fn unknown() -> Outcome {
    Outcome::Dead(Failure::new("UnknownCoupon", "there is no such coupon"))
}
