//! What clients were answered, and what must therefore be true: balances, orders, places, results, repeats.
//! The load writes it; `verify` holds the shop against it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use reqwest::Method;
use serde_json::Value;

use crate::fleet::{BALANCE, USERS};

/// A request with a key and its final answer.
#[derive(Clone, Debug)]
pub struct Told {
    pub key: String,
    pub method: Method,
    pub path: String,
    pub body: Value,
    pub status: u16,
    pub answer: String,
}

/// A join's way.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// As told first since the queue was last recovered.
    pub position: Option<i64>,
    pub recoveries: u64,
    /// With SUCCESS: the coupon, which stays.
    pub held: Option<i64>,
    /// The code of a FAILED.
    pub failed: Option<String>,
}

#[derive(Default)]
pub struct State {
    /// Since the last time they were taken.
    pub told: Vec<Told>,
    /// Expected balance by user.
    pub balances: HashMap<u64, i64>,
    /// Orders by user: id, and whether it was cancelled.
    pub orders: HashMap<u64, BTreeMap<u64, bool>>,
    /// By coupon and user.
    pub places: BTreeMap<(u64, u64), Place>,
    pub differences: Vec<String>,
    pub answered: u64,
    /// How often the queue has been recovered.
    pub recoveries: u64,
    /// It is being recovered: places may change.
    pub recovering: bool,
}

#[derive(Default)]
pub struct Journal(Mutex<State>);

impl Journal {
    pub fn new() -> Journal {
        let journal = Journal::default();
        journal.with(|state| {
            for user in 1..=USERS {
                state.balances.insert(user, BALANCE);
                state.orders.insert(user, BTreeMap::new());
            }
        });
        journal
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut state)
    }

    pub fn differs(&self, what: String) {
        self.with(|state| state.differences.push(what));
    }

    /// A final answer to a keyed request of a user of the load (0: the operator).
    pub fn told(&self, user: u64, told: Told) {
        self.with(|state| {
            state.answered += 1;
            state.apply(user, &told);
            state.told.push(told);
        });
    }

    /// Where a join was told to stand.
    pub fn placed(&self, coupon: u64, user: u64, position: Option<i64>) {
        self.with(|state| {
            state.answered += 1;
            let (recoveries, recovering) = (state.recoveries, state.recovering);
            let place = state.places.entry((coupon, user)).or_default();
            let comparable = place.recoveries == recoveries && !recovering;
            let told_before = place.position.filter(|_| comparable);
            if let (Some(before), Some(now)) = (told_before, position)
                && before != now
            {
                let what =
                    format!("user {user} was told place {before} of coupon {coupon}, then {now}");
                state.differences.push(what);
                return;
            }
            place.position = position.or(told_before).filter(|_| !recovering);
            place.recoveries = recoveries;
        });
    }

    /// What a poll said, once it is final.
    pub fn settled(&self, coupon: u64, user: u64, answer: &Value) {
        self.with(|state| {
            let place = state.places.entry((coupon, user)).or_default();
            let held = answer["userCouponId"].as_i64();
            match (place.held, held) {
                (Some(before), now) if now != Some(before) => {
                    let what =
                        format!("user {user} held coupon {before} of {coupon}, then: {answer}");
                    state.differences.push(what);
                }
                _ => {
                    place.held = held;
                    place.failed = answer["code"].as_str().map(str::to_owned);
                }
            }
        });
    }
}

impl State {
    fn apply(&mut self, user: u64, told: &Told) {
        let answer: Value = serde_json::from_str(&told.answer).unwrap_or(Value::Null);
        let amount = |field: &str| answer[field].as_i64().unwrap_or(0);
        let id = answer["id"].as_u64().unwrap_or(0);
        match (told.status, told.path.as_str()) {
            (201, path) if path.starts_with("/api/orders") => {
                *self.balances.entry(user).or_default() -= amount("discountedAmount");
                let orders = self.orders.entry(user).or_default();
                if orders.insert(id, false).is_some() {
                    self.differences
                        .push(format!("order {id} was placed under two keys"));
                }
            }
            (200, path) if path.contains("/cancel") => {
                *self.balances.entry(user).or_default() += amount("discountedAmount");
                let before = self.orders.entry(user).or_default().insert(id, true);
                if before != Some(false) {
                    self.differences
                        .push(format!("order {id} was cancelled twice, or is nobody's"));
                }
            }
            (200, path) if path.contains("/balance/charge") => {
                *self.balances.entry(user).or_default() += amount("chargeAmount");
            }
            _ => {}
        }
    }
}
