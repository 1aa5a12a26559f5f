//! The audit: what must be true of the stores (invariants I1 to I4 and I6), checked against them as they are, each check in
//! one consistent snapshot. It waits for nothing and changes nothing but a board's shadow; whoever calls it has seen to it
//! that the event log is drained. `madang audit` and the fault tests call it.

mod boards;
mod coupons;
mod events;
mod money;
mod probe;
mod stock;

use std::collections::BTreeSet;

use commerce::coupon::AuditFacts;
use commerce::ranking::Rankings;
use serde::Serialize;

use crate::sql::{self, Database};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Sql(#[from] sql::Error),
    #[error(transparent)]
    Board(#[from] commerce::ranking::ports::Error),
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Sql(error.into())
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Differences and remarks listed a check; all are counted.
    pub listed_max: usize,
    /// Orders read at a time.
    pub page: u32,
    /// The topics that the events of these consumers wait for in the outbox.
    pub data_platform_topic: String,
    pub order_completed_topic: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listed_max: 100,
            page: 20_000,
            data_platform_topic: "data-platform-transfer-topic".into(),
            order_completed_topic: "order-completed-topic".into(),
        }
    }
}

/// A consumer that leaves notes in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noted {
    DataPlatform,
    Analytics,
}

/// What the audit cannot see in the database itself.
#[derive(Default)]
pub struct Outside<'a> {
    /// Of every campaign, from the coupon store.
    pub coupons: &'a [AuditFacts],
    /// `None`: boards are not compared.
    pub rankings: Option<&'a Rankings>,
    /// Numbers (`madang-seq`) of events that lie in dead-letter topics.
    pub dead: BTreeSet<(Noted, i64)>,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is about, such as `product 7` or `order 12`.
    pub subject: String,
    pub expected: String,
    pub found: String,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `I1` to `I6`
    pub invariant: &'static str,
    pub name: &'static str,
    /// How many things were looked at.
    pub examined: u64,
    /// How many of them are wrong.
    pub differences: u64,
    /// The first of these.
    pub listed: Vec<Difference>,
    /// What is no difference and worth knowing: events pending, dead-lettered or foreign.
    pub remarks: Vec<String>,
}

impl Check {
    fn new(invariant: &'static str, name: &'static str) -> Self {
        Self {
            invariant,
            name,
            examined: 0,
            differences: 0,
            listed: Vec::new(),
            remarks: Vec::new(),
        }
    }

    fn differ(&mut self, listed_max: usize, difference: Difference) {
        self.differences += 1;
        if self.listed.len() < listed_max {
            self.listed.push(difference);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub checks: Vec<Check>,
}

impl Report {
    /// Nothing differs.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences() == 0
    }

    #[must_use]
    pub fn differences(&self) -> u64 {
        self.checks.iter().map(|check| check.differences).sum()
    }
}

/// Runs every check, one after the other.
///
/// # Errors
/// When a store cannot be asked; nothing is known then.
pub async fn run(
    db: &Database,
    outside: &Outside<'_>,
    settings: &Settings,
) -> Result<Report, Error> {
    let mut checks = Vec::new();
    for probe in stock::PROBES {
        checks.push(probe.run(db, settings).await?);
    }
    checks.push(coupons::campaigns(outside.coupons, settings));
    for probe in coupons::PROBES.iter().chain(money::PROBES) {
        checks.push(probe.run(db, settings).await?);
    }
    checks.extend(events::checks(db, &outside.dead, settings).await?);
    if let Some(rankings) = outside.rankings {
        checks.push(boards::check(rankings, settings).await?);
    }
    Ok(Report { checks })
}
