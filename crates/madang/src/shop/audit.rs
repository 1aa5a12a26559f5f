//! The audit put together: waits until what is on its way has arrived, then has the stores held against each other.
//! What must be true is told by `stores::audit`; here is what it cannot see: the log, dead letters, queues, boards.
//! The command `audit` prints the report.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use messaging::consumer::dead_letter_topic;
use messaging::envelope::SEQ;
use messaging::log::{Error, EventLog};
use messaging::outbox::relay;
use messaging::record::TopicPartition;
use serde::Serialize;
use stores::audit::{Boards, Check, Noted, Outside, Seen, Settings};

use super::arrival::OnItsWay;
use super::{Name, Shop, consumers};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Records of one read, and how long it may wait for them.
const READ_MAX: usize = 500;
const READ_WAIT_MS: u64 = 1_000;
/// After so many reads without a record there is none.
const EMPTY_READS_MAX: u32 = 5;

/// What was found. Clean when nothing differs and nothing is on its way.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub clean: bool,
    /// What has not arrived yet; while there is any, boards are not compared.
    pub pending: Vec<String>,
    pub differences: u64,
    pub checks: Vec<Check>,
    /// What was repaired before this was found.
    pub repaired: Vec<String>,
}

/// Waits for what is on its way, at most for `wait`, and looks; again and again until all is clean or the wait is over. The last
/// look's report. `at_once`: checks that run at the same time.
///
/// # Errors
/// A store cannot be asked.
pub async fn audit(shop: &Shop, wait: Duration, at_once: usize) -> anyhow::Result<Report> {
    let until = Instant::now() + wait;
    loop {
        let report = look(shop, until, at_once).await?;
        if report.clean || Instant::now() >= until {
            return Ok(report);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As `audit`, once days whose boards differ have been recounted. Nothing else is changed.
///
/// # Errors
/// As `audit`, and those of the boards.
pub async fn repair_boards(shop: &Shop, wait: Duration, at_once: usize) -> anyhow::Result<Report> {
    let found = audit(shop, wait, at_once).await?;
    let days: Vec<_> = found.checks.iter().flat_map(|check| &check.days).collect();
    let mut repaired = Vec::new();
    for day in days {
        let events = shop.features.rankings.rebuild_in_turn(*day).await?;
        repaired.push(format!(
            "board of {day}, recounted from {events} sales and cancels"
        ));
    }
    if repaired.is_empty() {
        return Ok(found);
    }
    Ok(Report {
        repaired,
        ..audit(shop, wait, at_once).await?
    })
}

async fn look(shop: &Shop, until: Instant, at_once: usize) -> anyhow::Result<Report> {
    let seen = Seen::now(&shop.database).await?;
    let given_out = shop.features.coupons.given_out().await?;
    let way = OnItsWay { shop, until };
    let mut pending = way.arrive(&given_out).await?;
    let coupons = shop.features.coupons.audit(&given_out).await?;
    let boards = Boards {
        rankings: &shop.features.rankings,
        arrival: &way,
    };
    let outside = Outside {
        coupons: &coupons,
        // A board lacks what is on its way.
        boards: pending.is_empty().then_some(boards),
        seen: Some(&seen),
        under_way: !pending.is_empty(),
        dead: dead_letters(shop).await?,
    };
    let topics = &shop.config.topics;
    let settings = Settings {
        data_platform_topic: topics.data_platform_transfer.name.clone(),
        order_completed_topic: topics.order_completed.name.clone(),
        keep_every_ms: shop.config.ranking.lease_ms / 4,
        checks_at_once: at_once,
        ..Settings::default()
    };
    let report = stores::audit::run(&shop.database, &outside, &settings).await?;
    if !report.boards_checked {
        pending.push("boards: not compared, for they are being rebuilt or events on their way did not arrive in time".to_owned());
    }
    Ok(Report {
        clean: report.is_clean() && pending.is_empty(),
        pending,
        differences: report.differences(),
        checks: report.checks,
        repaired: Vec::new(),
    })
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
        let (mut next, mut empty) = (marks.low, 0);
        // A broker may be slow to answer; a partition may also end with records that retention has taken.
        while next < marks.high && empty < EMPTY_READS_MAX {
            let records = log.read(&at, next, READ_MAX, READ_WAIT_MS).await?;
            let Some(last) = records.last() else {
                empty += 1;
                continue;
            };
            (next, empty) = (last.offset + 1, 0);
            let found = records.iter().filter_map(|record| record.headers.text(SEQ));
            numbers.extend(found.filter_map(|text| text.parse::<i64>().ok()));
        }
    }
    Ok(numbers)
}
