//! The audit: what must be true of the stores (invariants I1 to I4 and I6), checked against them as they are, each check in
//! one consistent snapshot, so that a busy shop gives no false alarm. It changes nothing but a board's shadow. What has not
//! arrived yet is its caller's to wait for: `Seen` is taken before the wait. `madang audit` and the fault tests call it.

mod boards;
mod coupons;
mod events;
mod money;
mod numbers;
mod probe;
mod seen;
mod stock;

use std::collections::BTreeSet;

use commerce::coupon::AuditFacts;
use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use serde::Serialize;

pub use boards::{Arrival, Boards, Still};
use probe::Probe;
pub use seen::Seen;

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
    /// How often the recounts of boards are kept alive while they wait; well below the boards' lease.
    pub keep_every_ms: u64,
    /// Checks of the database that run at the same time; each holds a connection.
    pub checks_at_once: usize,
    /// The topics that the events of these consumers wait for in the outbox.
    pub data_platform_topic: String,
    pub order_completed_topic: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listed_max: 100,
            page: 20_000,
            keep_every_ms: 2_000,
            checks_at_once: 2,
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
    pub boards: Option<Boards<'a>>,
    /// The orders whose events must have arrived; `None`: all.
    pub seen: Option<&'a Seen>,
    /// Not all of them have: what lacks its note may be on its way.
    pub under_way: bool,
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
    /// Of boards: the days that differ.
    #[serde(skip)]
    pub days: Vec<Date>,
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
            days: Vec::new(),
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
    /// False where they were to be compared, and what they lack did not arrive in time.
    pub boards_checked: bool,
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

/// Runs every check, some of them at the same time: each has a snapshot of its own, and none changes what another reads.
///
/// # Errors
/// When a store cannot be asked; nothing is known then.
pub async fn run(
    db: &Database,
    outside: &Outside<'_>,
    settings: &Settings,
) -> Result<Report, Error> {
    let probe = |probe: &'static Probe| probe.run(db, settings).boxed();
    let mut checks: Vec<BoxFuture<'_, Result<Check, Error>>> = Vec::new();
    checks.extend(stock::PROBES.iter().map(probe));
    let campaigns = coupons::campaigns(outside.coupons, settings);
    checks.push(ready(Ok(campaigns)).boxed());
    checks.extend(coupons::PROBES.iter().map(probe));
    checks.extend(money::PROBES.iter().map(probe));
    checks.push(numbers::check(db, settings).boxed());
    let events = events::PLACES.iter();
    checks.extend(events.map(|place| events::check(db, place, outside, settings).boxed()));

    let at_once = settings.checks_at_once.max(1);
    let checks = stream::iter(checks).buffered(at_once).try_collect();
    let mut checks: Vec<Check> = checks.await?;
    // Recounts have leases to keep: they are taken when nothing else asks much of the database.
    let mut boards_checked = true;
    if let Some(boards) = outside.boards {
        let check = boards::check(boards, settings).await?;
        boards_checked = check.is_some();
        checks.extend(check);
    }
    Ok(Report {
        checks,
        boards_checked,
    })
}
