//! A store and a queue that a test plays, in memory and in one piece.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::answer::{Answered, Keyed, StoreError};
use crate::coupon::model::{Holder, NewCampaign};
use crate::coupon::queue::{
    Ask, Entry, Error, Incarnation, Joined, Known, Lease, Leased, Place, Settled, Settlement,
    Standings, Terms,
};
use crate::coupon::store::Decide;
use crate::coupon::{
    AuditFacts, Campaign, Change, Epochs, Held, Issuing, Queue, Refusal, Store, issue,
};
use crate::ids::{CouponId, UserCouponId, UserId};
use crate::page::PageRequest;

/// One shop's worth of state, behind every port.
#[derive(Default)]
pub struct Stage {
    pub campaigns: Mutex<BTreeMap<CouponId, Campaign>>,
    pub held: Mutex<Vec<(CouponId, UserId, UserCouponId)>>,
    pub line: Mutex<Vec<(UserId, Option<Settlement>)>>,
    /// Whether the queue answers.
    pub away: Mutex<bool>,
}

#[async_trait]
impl Store for Stage {
    async fn create(
        &self,
        keyed: Keyed<'_, NewCampaign, Campaign, Refusal>,
    ) -> Result<Answered, StoreError> {
        let campaign = keyed.command.campaign();
        self.campaigns.lock().insert(campaign.id, campaign.clone());
        Ok(Answered::Fresh((keyed.render)(&Ok(campaign))))
    }

    async fn change(
        &self,
        keyed: Keyed<'_, Change, Campaign, Refusal>,
    ) -> Result<Answered, StoreError> {
        let mut campaigns = self.campaigns.lock();
        let before = campaigns.get(&keyed.command.id);
        let after = before.map_or(Err(Refusal::NotFound), |before| {
            keyed.command.decide(before)
        });
        if let Ok(after) = &after {
            campaigns.insert(after.id, after.clone());
        }
        Ok(Answered::Fresh((keyed.render)(&after)))
    }

    async fn find(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError> {
        Ok(self.campaigns.lock().get(&coupon).cloned())
    }

    async fn claimable(&self, _: Timestamp, _: PageRequest) -> Result<Vec<Campaign>, StoreError> {
        Ok(self.campaigns.lock().values().cloned().collect())
    }

    async fn held_by(&self, _: UserId, _: u32) -> Result<Vec<Held>, StoreError> {
        Ok(Vec::new())
    }

    async fn holding(
        &self,
        coupon: CouponId,
        user: UserId,
    ) -> Result<Option<UserCouponId>, StoreError> {
        let held = self.held.lock();
        let own = held.iter().find(|(c, u, _)| (*c, *u) == (coupon, user));
        Ok(own.map(|(_, _, id)| *id))
    }

    async fn audit(&self, _: &[(CouponId, i64)]) -> Result<Vec<AuditFacts>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Issuing for Stage {
    async fn issue(
        &self,
        _: &[issue::Numbered],
        _: Timestamp,
        _: Decide<'_>,
    ) -> Result<Vec<issue::Decision>, StoreError> {
        Ok(Vec::new())
    }

    async fn issue_direct(
        &self,
        coupon: CouponId,
        user: UserId,
        id: UserCouponId,
        at: Timestamp,
    ) -> Result<Result<UserCouponId, Refusal>, StoreError> {
        let held = self.holding(coupon, user).await?;
        let campaign = self.campaigns.lock().get(&coupon).cloned();
        let issued = campaign
            .ok_or(Refusal::NotFound)
            .and_then(|campaign| campaign.issue_directly(held, at));
        if issued.is_ok() {
            self.held.lock().push((coupon, user, id));
        }
        Ok(issued.map(|()| id))
    }
}

#[async_trait]
impl Epochs for Stage {
    async fn live(
        &self,
        _: Timestamp,
        _: Option<CouponId>,
        _: u32,
    ) -> Result<Vec<Campaign>, StoreError> {
        Ok(Vec::new())
    }

    async fn open_first(&self, coupon: CouponId) -> Result<Option<Campaign>, StoreError> {
        Ok(self.campaigns.lock().get(&coupon).cloned())
    }

    async fn next_epoch(&self, _: CouponId) -> Result<Option<Campaign>, StoreError> {
        Ok(None)
    }

    async fn holders(
        &self,
        _: CouponId,
        _: Option<UserId>,
        _: u32,
    ) -> Result<Vec<Holder>, StoreError> {
        Ok(Vec::new())
    }

    async fn incarnation(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn lease_recovery(&self, _: &str, _: u64) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn recovered(&self, _: &str, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[async_trait]
impl Queue for Stage {
    async fn join(&self, _: CouponId, user: UserId, _: i64) -> Result<Joined, Error> {
        if *self.away.lock() {
            return Err(Error::Unavailable("played".into()));
        }
        let mut line = self.line.lock();
        let last = line.len() as i64;
        let at = |sequence, last| Place {
            sequence,
            base: 0,
            last,
        };
        if let Some(i) = line.iter().position(|(u, _)| *u == user) {
            return Ok(match line[i].1 {
                Some(settlement) => Joined::Settled(settlement),
                None => Joined::AlreadyQueued(at(i as i64 + 1, last)),
            });
        }
        if last >= 2 {
            return Ok(Joined::SoldOut);
        }
        line.push((user, None));
        Ok(Joined::Queued(at(last + 1, last + 1)))
    }

    async fn standings(&self, _: CouponId, users: &[UserId]) -> Result<Option<Standings>, Error> {
        if *self.away.lock() {
            return Err(Error::Unavailable("played".into()));
        }
        let line = self.line.lock();
        let entry = |user: &UserId| {
            let i = line.iter().position(|(u, _)| u == user)?;
            Some(Entry {
                sequence: i as i64 + 1,
                settled: line[i].1,
            })
        };
        Ok(Some(Standings {
            epoch: 1,
            base: 0,
            last: line.len() as i64,
            entries: users.iter().map(entry).collect(),
        }))
    }

    async fn refresh(&self, _: &Terms) -> Result<Known, Error> {
        Ok(Known::Missing)
    }

    async fn shrink(&self, _: CouponId, slots: i64) -> Result<Result<(), i64>, Error> {
        let given = self.line.lock().len() as i64;
        Ok(if given > slots { Err(given) } else { Ok(()) })
    }

    async fn lease(&self, _: Ask<'_>) -> Result<Leased, Error> {
        Ok(Leased::Nothing)
    }

    async fn acknowledge(&self, _: &Lease, _: &[UserId]) -> Result<bool, Error> {
        Ok(false)
    }

    async fn give_back(&self, _: CouponId, _: &[(UserId, i64)]) -> Result<(), Error> {
        Ok(())
    }

    async fn resign(&self, _: CouponId, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn settle(&self, _: CouponId, results: &[Settled]) -> Result<(), Error> {
        let mut line = self.line.lock();
        for result in results {
            if let Some(entry) = line.iter_mut().find(|(u, _)| *u == result.user) {
                entry.1 = Some(result.settlement);
            }
        }
        Ok(())
    }

    async fn incarnation(&self) -> Result<Incarnation, Error> {
        Err(Error::Different)
    }

    async fn reopen(&self, _: &[CouponId]) -> Result<String, Error> {
        Err(Error::Different)
    }

    async fn suspend(&self, _: CouponId) -> Result<(), Error> {
        Ok(())
    }

    async fn rebuild(&self, _: &Terms, _: &[Holder]) -> Result<(), Error> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}
