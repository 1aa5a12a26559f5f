//! The audit put together: waits until what is on its way has arrived, then holds the stores against each other (I1 to I4, I6).
//! It reads; the ranking boards' shadows are all it writes. The command `audit` prints its report.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use commerce::order::FollowUp;
use messaging::consumer::{self, dead_letter_topic};
use messaging::envelope::SEQ;
use messaging::log::{Error, EventLog};
use messaging::outbox::Store;
use messaging::record::TopicPartition;
use serde::Serialize;
use stores::sql::audit::{Audit, Owed};
use stores::sql::outbox::Outbox;

use super::{Name, Shop, consumers};

/// Between two looks at what is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Differences listed of one board.
const BOARD_MAX: usize = 20;
const READ_MAX: usize = 500;

/// What was found. Clean when there are no differences and nothing is on its way.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub clean: bool,
    /// What must not be.
    pub differences: Vec<String>,
    /// What has not arrived yet, so that its effects cannot be judged.
    pub pending: Vec<String>,
    /// What is known and no difference: dead letters, what others wrote.
    pub notes: Vec<String>,
    pub orders_checked: u64,
    pub days_compared: usize,
}

/// Looks again and again until all is clean, at most for `wait`; the last look's report.
///
/// # Errors
/// A store cannot be asked.
pub async fn audit(shop: &Shop, wait: Duration) -> anyhow::Result<Report> {
    let until = Instant::now() + wait;
    loop {
        let pending = pending(shop).await?;
        let report = if pending.is_empty() || Instant::now() >= until {
            look(shop, pending).await?
        } else {
            Report::default()
        };
        if report.clean || Instant::now() >= until {
            return Ok(report);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(shop: &Shop, pending: Vec<String>) -> anyhow::Result<Report> {
    let audit = Audit::new(shop.database.clone());
    let mut report = Report {
        differences: audit.sums().await?,
        ..Report::default()
    };
    for facts in shop.features.coupons.audit().await? {
        report.differences.extend(
            facts
                .differences()
                .into_iter()
                .map(|text| format!("I2 {text}")),
        );
    }
    if pending.is_empty() {
        events(shop, &audit, &mut report).await?;
        boards(shop, &mut report).await?;
    }
    report.pending = pending;
    report.clean = report.differences.is_empty() && report.pending.is_empty();
    Ok(report)
}

/// What is on its way: in the outbox, on the topics, in the coupon queue.
async fn pending(shop: &Shop) -> anyhow::Result<Vec<String>> {
    let mut pending = Vec::new();
    let depth = Outbox::new(shop.database.clone()).depth().await?;
    if depth.rows > 0 {
        pending.push(format!("outbox: {} rows not published", depth.rows));
    }
    if let Some(log) = shop.event_log() {
        for name in Name::ALL {
            let settings = consumers::settings(&shop.config, name);
            match consumer::lag(log.as_ref(), &settings).await {
                Ok(partitions) => {
                    let records: u64 = partitions.iter().map(|at| at.records).sum();
                    if records > 0 {
                        let group = settings.group;
                        pending.push(format!("group {group}: {records} records not consumed"));
                    }
                }
                // Nobody has served this shop yet.
                Err(Error::UnknownTopic(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    for facts in shop.features.coupons.audit().await? {
        if facts.undecided > 0 {
            pending.push(format!(
                "coupon {}: {} places without a result, the first {:?}",
                facts.coupon, facts.undecided, facts.undecided_first
            ));
        }
    }
    Ok(pending)
}

/// Every owed event has a note, or lies in a dead-letter topic, which is said.
async fn events(shop: &Shop, audit: &Audit, report: &mut Report) -> anyhow::Result<()> {
    let missing = audit.missing().await?;
    report.orders_checked = missing.orders;
    if missing.count == 0 {
        return Ok(());
    }
    let dead = [
        (
            FollowUp::Analytics,
            dead_numbers(shop, Name::Analytics).await?,
        ),
        (
            FollowUp::DataPlatform,
            dead_numbers(shop, Name::DataPlatform).await?,
        ),
    ];
    let is_dead = |event: &Owed| {
        let of_step = dead.iter().find(|(step, _)| *step == event.step);
        of_step.is_some_and(|(_, numbers)| numbers.contains(&event.seq))
    };
    for event in &missing.events {
        let what = if event.of_cancel { "cancel" } else { "sale" };
        let text = format!(
            "order {}: its {what} (event {}) for {:?}",
            event.order, event.seq, event.step
        );
        if is_dead(event) {
            report.notes.push(format!("{text} is dead-lettered"));
        } else {
            report.differences.push(format!("I4 {text} had no effect"));
        }
    }
    let listed = missing.events.len() as u64;
    if missing.count > listed {
        report.differences.push(format!(
            "I4 and {} more events had no effect",
            missing.count - listed
        ));
    }
    Ok(())
}

/// The numbers of this consumer's dead letters, those of the relay among them.
async fn dead_numbers(shop: &Shop, name: Name) -> anyhow::Result<HashSet<i64>> {
    let mut numbers = HashSet::new();
    let Some(log) = shop.event_log() else {
        return Ok(numbers);
    };
    let settings = consumers::settings(&shop.config, name);
    for source in &settings.topics {
        for topic in [
            dead_letter_topic(source, &settings.group),
            messaging::outbox::relay::dead_letter_topic(source),
        ] {
            match numbers_of(log.as_ref(), &topic, &mut numbers).await {
                Ok(()) | Err(Error::UnknownTopic(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(numbers)
}

async fn numbers_of(
    log: &dyn EventLog,
    topic: &str,
    numbers: &mut HashSet<i64>,
) -> Result<(), Error> {
    for marks in log.watermarks(topic).await? {
        let at = TopicPartition::new(topic, marks.partition);
        let mut next = marks.low;
        while next < marks.high {
            let records = log.read(&at, next, READ_MAX, 1_000).await?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            let found = records.iter().filter_map(|record| record.headers.text(SEQ));
            numbers.extend(found.filter_map(|text| text.parse::<i64>().ok()));
        }
    }
    Ok(())
}

/// Every day's board equals a recount from the orders.
async fn boards(shop: &Shop, report: &mut Report) -> anyhow::Result<()> {
    let rankings = &shop.features.rankings;
    for day in rankings.known_days().await? {
        let compared = rankings.compare(day, BOARD_MAX).await?;
        report.days_compared += 1;
        for one in &compared.differences {
            report.differences.push(format!(
                "I6 board of {day}, product {}: {} sold for {}, the orders say {} for {}",
                one.product,
                one.found_score,
                one.found_amount,
                one.expected_score,
                one.expected_amount
            ));
        }
        let listed = compared.differences.len() as u64;
        if compared.different > listed {
            let more = compared.different - listed;
            report
                .differences
                .push(format!("I6 board of {day}: {more} more products differ"));
        }
        if compared.foreign != 0 {
            report.notes.push(format!(
                "board of {day}: {} pieces counted from other producers",
                compared.foreign
            ));
        }
    }
    Ok(())
}
