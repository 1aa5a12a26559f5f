//! Who gets a coupon: a pure decision over the campaign's row and what is held already, for a batch of numbered requests.
//! Winners are a range of numbers, never a count, so the order of arrival changes nothing. Called by the store, under the row's lock.

use std::collections::{HashMap, HashSet};

use super::model::{Range, State};
use crate::ids::{CouponId, UserCouponId, UserId};

/// A request with its place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    pub coupon: CouponId,
    pub user: UserId,
    pub epoch: i64,
    pub sequence: i64,
}

/// What a campaign's row says, as far as it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub range: Range,
    pub state: State,
}

/// A coupon held, and the number it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    pub id: UserCouponId,
    pub epoch: i64,
    pub sequence: Option<i64>,
}

/// A number of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    pub coupon: CouponId,
    pub epoch: i64,
    pub sequence: i64,
}

/// Why a number will never be a coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoidReason {
    /// Its user holds the coupon by another number.
    AlreadyHeld,
    Closed,
}

impl VoidReason {
    /// The word it is stored as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::AlreadyHeld => "already-held",
            Self::Closed => "closed",
        }
    }
}

/// What was loaded under the campaigns' locks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub rules: HashMap<CouponId, Rule>,
    pub held: HashMap<(CouponId, UserId), Holding>,
    /// Numbers that are a coupon already, and whose.
    pub issued: HashMap<Number, UserId>,
    /// Numbers that are void already, and whose.
    pub voids: HashMap<Number, UserId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Issue(UserCouponId),
    /// Held already; `void`: by another number, so that this one is spent for nothing.
    Held {
        id: UserCouponId,
        void: bool,
    },
    SoldOut,
    /// Of another epoch than the campaign's: the user may join again.
    Restarted,
    /// The campaign is closed; `void`: the number was one of the winners'.
    Closed {
        void: bool,
    },
    /// The campaign is paused: the number goes back to the queue.
    Return,
    /// Another user's number: whoever sent this did not get it from the queue.
    NumberTaken,
    UnknownCoupon,
}

/// Decides each request in turn; `ids` has one unused id for each.
#[must_use]
pub fn decide(snapshot: &Snapshot, requests: &[Numbered], ids: &[UserCouponId]) -> Vec<Decision> {
    let mut batch = Batch {
        snapshot,
        held: HashMap::new(),
        issued: HashMap::new(),
        voids: HashSet::new(),
    };
    requests
        .iter()
        .zip(ids)
        .map(|(request, id)| batch.decide(request, *id))
        .collect()
}

/// The snapshot and what this batch has added to it.
struct Batch<'a> {
    snapshot: &'a Snapshot,
    held: HashMap<(CouponId, UserId), Holding>,
    issued: HashMap<Number, UserId>,
    voids: HashSet<Number>,
}

impl Batch<'_> {
    fn decide(&mut self, request: &Numbered, id: UserCouponId) -> Decision {
        let Some(rule) = self.snapshot.rules.get(&request.coupon) else {
            return Decision::UnknownCoupon;
        };
        let number = Number {
            coupon: request.coupon,
            epoch: request.epoch,
            sequence: request.sequence,
        };
        let current = request.epoch == rule.range.epoch && request.sequence > rule.range.base;
        let wins = current && request.sequence <= rule.range.end();
        let owner = self.owner(number);
        if owner.is_some_and(|owner| owner != request.user) {
            return Decision::NumberTaken;
        }
        if let Some(holding) = self.holding(request) {
            let own = holding.epoch == request.epoch && holding.sequence == Some(request.sequence);
            let void = wins && !own && owner.is_none() && self.voids.insert(number);
            return Decision::Held {
                id: holding.id,
                void,
            };
        }
        if !current {
            return Decision::Restarted;
        }
        if !wins {
            return Decision::SoldOut;
        }
        match rule.state {
            // A void of one's own without a coupon: the campaign was closed when it was decided.
            _ if owner.is_some() => Decision::Closed { void: false },
            State::Closed => Decision::Closed {
                void: self.voids.insert(number),
            },
            State::Paused => Decision::Return,
            State::Open => {
                let holding = Holding {
                    id,
                    epoch: request.epoch,
                    sequence: Some(request.sequence),
                };
                self.held.insert((request.coupon, request.user), holding);
                self.issued.insert(number, request.user);
                Decision::Issue(id)
            }
        }
    }

    fn holding(&self, request: &Numbered) -> Option<Holding> {
        let key = (request.coupon, request.user);
        let before = self.snapshot.held.get(&key);
        before.or_else(|| self.held.get(&key)).copied()
    }

    /// Whose number it is, where it is a coupon or void.
    fn owner(&self, number: Number) -> Option<UserId> {
        let before = self.snapshot.issued.get(&number);
        before
            .or_else(|| self.snapshot.voids.get(&number))
            .or_else(|| self.issued.get(&number))
            .copied()
    }
}

#[cfg(test)]
#[path = "issue_tests.rs"]
mod tests;
