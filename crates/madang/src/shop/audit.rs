//! The audit put together: waits until what is on its way has arrived, then has the stores held against each other.
//! What must be true is told by `stores::audit`; here is what it cannot see: the log, dead letters, queues, boards.
//! The command `audit` prints the report.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use messaging::consumer::{self, dead_letter_topic};
use messaging::envelope::SEQ;
use messaging::log::{Error, EventLog};
use messaging::outbox::Store;
use messaging::outbox::relay;
use messaging::record::TopicPartition;
use serde::Serialize;
use stores::audit::{Check, Noted, Outside, Settings};
use stores::sql::outbox::Outbox;

use super::{Name, Shop, consumers};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Records of one read, and how long it may wait for them.
const READ_MAX: usize = 500;
const READ_WAIT_MS: u64 = 1_000;

/// What was found. Clean when nothing differs and nothing is on its way.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub clean: bool,
    /// What has not arrived yet; while there is any, boards are not compared.
    pub pending: Vec<String>,
    pub differences: u64,
    pub checks: Vec<Check>,
}

/// Looks again and again until all is clean, at most for `wait`; the last look's report.
///
/// # Errors
/// A store cannot be asked.
pub async fn audit(shop: &Shop, wait: Duration) -> anyhow::Result<Report> {
    let until = Instant::now() + wait;
    loop {
        let pending = pending(shop).await?;
        let last = Instant::now() >= until;
        if pending.is_empty() || last {
            let report = look(shop, pending).await?;
            if report.clean || last {
                return Ok(report);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(shop: &Shop, pending: Vec<String>) -> anyhow::Result<Report> {
    let coupons = shop.features.coupons.audit().await?;
    let outside = Outside {
        coupons: &coupons,
        // A board lacks what is on its way.
        rankings: pending
            .is_empty()
            .then_some(shop.features.rankings.as_ref()),
        dead: dead_letters(shop).await?,
    };
    let topics = &shop.config.topics;
    let settings = Settings {
        data_platform_topic: topics.data_platform_transfer.name.clone(),
        order_completed_topic: topics.order_completed.name.clone(),
        ..Settings::default()
    };
    let report = stores::audit::run(&shop.database, &outside, &settings).await?;
    Ok(Report {
        clean: report.is_clean() && pending.is_empty(),
        pending,
        differences: report.differences(),
        checks: report.checks,
    })
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
                // It may be back before the wait is over.
                Err(error) if error.is_transient() => pending.push(format!("the log: {error}")),
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

/// The numbers of events that lie in the dead-letter topics of consumers that leave notes, and of the relay.
async fn dead_letters(shop: &Shop) -> anyhow::Result<BTreeSet<(Noted, i64)>> {
    let mut dead = BTreeSet::new();
    let Some(log) = shop.event_log() else {
        return Ok(dead);
    };
    for (name, noted) in [
        (Name::Analytics, Noted::Analytics),
        (Name::DataPlatform, Noted::DataPlatform),
    ] {
        let settings = consumers::settings(&shop.config, name);
        for source in &settings.topics {
            for topic in [
                dead_letter_topic(source, &settings.group),
                relay::dead_letter_topic(source),
            ] {
                match numbers_of(log.as_ref(), &topic).await {
                    Ok(numbers) => dead.extend(numbers.into_iter().map(|seq| (noted, seq))),
                    // Nobody has served this shop yet.
                    Err(Error::UnknownTopic(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(dead)
}

async fn numbers_of(log: &dyn EventLog, topic: &str) -> Result<Vec<i64>, Error> {
    let mut numbers = Vec::new();
    for marks in log.watermarks(topic).await? {
        let at = TopicPartition::new(topic, marks.partition);
        let mut next = marks.low;
        while next < marks.high {
            let records = log.read(&at, next, READ_MAX, READ_WAIT_MS).await?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            let found = records.iter().filter_map(|record| record.headers.text(SEQ));
            numbers.extend(found.filter_map(|text| text.parse::<i64>().ok()));
        }
    }
    Ok(numbers)
}
