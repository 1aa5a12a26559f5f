//! Each consumer group drains a backlog alone: processes that take and relay orders and joins fill the topics, then a process
//! with nothing but one consumer is started. Events a second from its first handled event to the last.
//! A small backlog goes before: with it the day's board is built, which a shop that has lived for a while has already.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::{ShopProcess, Which};

use super::relay::{Drained, TOO_FEW, drain, place, processor, stopped};
use super::traffic::{JOIN, Orders, joins};
use crate::load::{Load, Pace};
use crate::options::Ours;
use crate::peer::Platform;
use crate::report::{Report, Run};
use crate::stage::{Grounds, Seed, address, in_roles, scrape, seed};

const GROUPS: [&str; 4] = ["ranking", "analytics", "data-platform", "coupon-issue"];
const LOOK: Duration = Duration::from_millis(50);
/// Of the backlog that goes before.
const FIRST_MAX: u64 = 1_000;

/// What lies on the topics for the groups.
#[derive(Clone, Copy, Default)]
struct Backlog {
    orders: u64,
    joins: u64,
}

impl Backlog {
    fn of(self, group: &str) -> u64 {
        match group {
            "coupon-issue" => self.joins,
            _ => self.orders,
        }
    }

    fn add(&mut self, more: Backlog) {
        self.orders += more.orders;
        self.joins += more.joins;
    }
}

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    /// Orders whose events lie on the topics, one for each of three groups.
    #[arg(long, default_value_t = 50_000)]
    orders: u64,
    /// Joins whose events lie on the topic of the fourth.
    #[arg(long, default_value_t = 50_000)]
    joins: u64,
    /// What the data platform takes for an event.
    #[arg(long, default_value_t = 1)]
    platform_ms: u64,
    /// Backlogs that each group drains, one after the other.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Connections from which orders and joins come.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// The longest that a backlog may take to fill or to drain.
    #[arg(long, default_value_t = 300)]
    drain_max_seconds: u64,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.runs >= 1 && options.orders >= 1 && options.joins >= 1 && options.connections >= 1,
        "--runs, --orders, --joins and --connections must be at least 1"
    );
    let platform = Platform::start().await?;
    platform.delay_ms(options.platform_ms);
    let mut grounds = Grounds::prepare(&options.ours, Which::ALL).await?;
    let settings = grounds.settings().await?;
    let measured = Backlog {
        orders: options.orders,
        joins: options.joins,
    };
    let first = Backlog {
        orders: options.orders.min(FIRST_MAX),
        joins: options.joins.min(FIRST_MAX),
    };
    let settings = settings
        .env("MADANG_DATA_PLATFORM__URL", &platform.url)
        // All joins are on the topic before anybody consumes them.
        .env(
            "MADANG_COUPON__SCHEDULER__UNSETTLED_MAX",
            (options.joins + 1_000).to_string(),
        );
    let orders = Orders::plain(20_000, 1_000);
    let seeded = Seed {
        coupons: options.runs as u64 + 1,
        quota: options.joins,
        ..orders.seed()
    };
    seed(&settings, &seeded).await?;
    let filling = in_roles(&settings, &["api", "relay", "coupon-scheduler"]);
    let shop = filling.start().await?;
    let mut drained: Vec<Vec<Drained>> = GROUPS.iter().map(|_| Vec::new()).collect();
    let most = Duration::from_secs(options.drain_max_seconds);
    let mut filled = Backlog::default();
    for run in 0..=options.runs {
        let backlog = if run == 0 { first } else { measured };
        filled.add(backlog);
        fill(options, &shop, orders, (run as u64 + 1, backlog, filled)).await?;
        for (of, group) in drained.iter_mut().zip(GROUPS) {
            let role = settings
                .clone()
                .arg("--role")
                .arg(format!("consumers={group}"));
            let labels = [("consumer", group), ("outcome", "done")];
            let what = ("madang_consumer_records_total", &labels[..]);
            let (consumer, done) = drain(&grounds, &role, what, backlog.of(group), most).await?;
            grounds.caught_up(std::slice::from_ref(&consumer)).await?;
            stopped(consumer).await?;
            if run > 0 {
                of.push(done.context(TOO_FEW)?);
            }
        }
    }
    let delivered = platform.taken();
    let expected = filled.orders;
    ensure!(
        delivered == expected,
        "the data platform took {delivered} events of {expected} orders"
    );
    grounds.audit(&settings).await?;
    drop(shop);
    told(options, &mut grounds, &drained).await
}

async fn told(
    options: &Options,
    grounds: &mut Grounds,
    drained: &[Vec<Drained>],
) -> Result<Report> {
    let load = format!(
        "{} orders' and {} joins' events wait for each consumer alone; {} time(s); the data platform takes {} ms",
        options.orders, options.joins, options.runs, options.platform_ms
    );
    let mut report = Report::new("consumers drain a backlog", load, Some(grounds)).await?;
    for (group, of) in GROUPS.iter().zip(drained) {
        let rates: Vec<f64> = of.iter().map(|it| it.per_second).collect();
        let starts: Vec<f64> = of.iter().map(|it| it.first_after_s).collect();
        report.figure(format!("{group}: handled"), "events/s", &rates);
        report.figure(
            format!("{group}: start of the process to the first"),
            "s",
            &starts,
        );
        let used = of.iter().map(|it| &it.processor[..]);
        processor(&mut report, &format!("event ({group})"), used);
    }
    report.check(
        "every event was handled once and none refused, all effects are stored, audit clean",
    );
    Ok(report)
}

/// Orders and joins of the campaign, until everything of them and of those before is on the topics.
async fn fill(
    options: &Options,
    shop: &ShopProcess,
    orders: Orders,
    (campaign, backlog, filled): (u64, Backlog, Backlog),
) -> Result<()> {
    place(shop, orders, backlog.orders, options.connections).await?;
    let load = Load {
        addresses: vec![address(shop)?],
        connections: options.connections,
        threads: 1,
        pace: Pace::Counted {
            requests: backlog.joins,
        },
    };
    let tally = load
        .run(1, &joins(campaign, Arc::new(AtomicU64::new(1))))
        .await?;
    let run = Run::of(&tally, &[JOIN], true);
    ensure!(
        run.done == backlog.joins,
        "of {} joins {}",
        backlog.joins,
        run.text()
    );
    let published = async {
        loop {
            let metrics = scrape(std::slice::from_ref(shop)).await?;
            let rows = metrics.sum("madang_outbox_published_total", &[("outcome", "published")]);
            let joined = metrics.sum("madang_coupon_published_total", &[]);
            if rows >= (filled.orders * 3) as f64 && joined >= filled.joins as f64 {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let most = Duration::from_secs(options.drain_max_seconds);
    match tokio::time::timeout(most, published).await {
        Ok(published) => published,
        Err(_) => anyhow::bail!("not everything is on the topics after {most:?}"),
    }
}
