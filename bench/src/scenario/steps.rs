//! The table of before and after: every follow-up inside the request and every coupon in a locked transaction, against events
//! and the queue, with a data platform that takes its time. The platform answers at once while a shop catches up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::Which;

use super::contest::{Work, described, measured};
use super::orders::work;
use super::traffic::{JOIN, Orders, joins};
use crate::load::{Heard, Kind, Load, Pace};
use crate::options::{Pairs, Rival};
use crate::peer::Platform;
use crate::report::{Report, Run};
use crate::stage::{Grounds, Seed, Side};

/// A campaign that is sold out says so with a 409; that is an answer, not a failure.
pub const CLAIM: Kind = Kind {
    expected: &[201, 202, 409],
    ..JOIN
};

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub pairs: Pairs,
    /// What the data platform takes for an event.
    #[arg(long, default_value_t = 50)]
    platform_ms: u64,
    /// Shoppers who ask for a coupon, each once.
    #[arg(long, default_value_t = 100_000)]
    joiners: u64,
    /// Coupons that they ask for.
    #[arg(long, default_value_t = 10_000)]
    quota: u64,
    /// Connections from which they ask.
    #[arg(long, default_value_t = 1_000)]
    join_connections: usize,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(options.pairs.runs >= 1, "--runs must be at least 1");
    let orders = Orders::plain(20_000, 1_000);
    let filled = Seed {
        coupons: 1,
        quota: options.quota,
        ..orders.seed()
    };
    let platform = Platform::start().await?;
    let mut grounds = Grounds::prepare(&options.pairs.ours, Which::ALL).await?;
    let mut sides = Vec::new();
    for name in ["after", "before"] {
        let settings = grounds.settings().await?;
        let mut settings = settings.env("MADANG_DATA_PLATFORM__URL", &platform.url);
        if name == "before" {
            settings = Rival::Inline.settings(settings);
        }
        sides.push(Side::start(name, settings, &filled).await?);
    }
    let stage = Steps {
        options,
        platform,
        grounds: &grounds,
    };
    let mut runs = [Vec::new(), Vec::new()];
    for number in 0..=options.pairs.runs {
        for (i, side) in sides.iter().enumerate() {
            let run = stage.orders(side, orders, number == 0).await?;
            if number > 0 {
                runs[i].push(run);
            }
        }
    }
    let mut claimed = Vec::new();
    for side in &sides {
        claimed.push((side.name.clone(), stage.coupons(side).await?));
    }
    let name = format!(
        "before and after events, a data platform that takes {} ms",
        options.platform_ms
    );
    let load = described(&options.pairs.effort, None, options.pairs.runs);
    let mut report = Report::new(name, load, Some(&mut grounds)).await?;
    for (side, runs) in sides.iter().zip(runs) {
        report.side(&side.name, runs);
    }
    for (name, claims) in claimed {
        let joiners = options.joiners;
        let what = format!("{name}: coupons of {joiners} joiners");
        report.figure(
            format!("{what}, failed"),
            "requests",
            &[claims.other as f64],
        );
        report.figure(format!("{what}, answered"), "/s", &[claims.per_second]);
        report.figure(format!("{what}, p50"), "ms", &[claims.latency.p50_ms]);
        report.figure(format!("{what}, p99"), "ms", &[claims.latency.p99_ms]);
    }
    report.check("orders stored as answered, coupons issued up to the quota, audit clean, on both");
    // The shops end before their services.
    drop(sides);
    Ok(report)
}

struct Steps<'a> {
    options: &'a Options,
    platform: Platform,
    grounds: &'a Grounds,
}

impl Steps<'_> {
    async fn orders(&self, side: &Side, orders: Orders, warm_up: bool) -> Result<Run> {
        let effort = &self.options.pairs.effort;
        let seconds = if warm_up {
            effort.warm_up_seconds
        } else {
            effort.seconds
        };
        let load = effort.load(side.addresses.clone(), None, seconds)?;
        self.platform.delay_ms(self.options.platform_ms);
        let (mut run, _) = measured(
            &work(orders),
            Some(self.grounds),
            side,
            &load,
            &orders.next(),
            None,
        )
        .await?;
        self.platform.delay_ms(0);
        ensure!(
            run.other == 0,
            "{}: {} orders were not placed",
            side.name,
            run.other
        );
        let own = side.own.as_ref().context("a shop of ours")?;
        run.caught_up(self.grounds.caught_up(&own.shops).await?);
        Ok(run)
    }

    /// Everybody asks once; who was told neither a place, nor a coupon, nor that it is sold out, was failed.
    async fn coupons(&self, side: &Side) -> Result<Run> {
        let options = self.options;
        let work = Work {
            kinds: vec![CLAIM],
            ..work(Orders::plain(1, 1))
        };
        let load = Load {
            addresses: side.addresses.clone(),
            connections: options.join_connections.max(1),
            threads: options.pairs.effort.threads,
            pace: Pace::Counted {
                requests: options.joiners,
            },
        };
        let wrong = Arc::new(AtomicU64::new(0));
        let counted = wrong.clone();
        let heard: Heard = Arc::new(move |_, status, body| {
            if status == 409 && !told(body, "coupon-sold-out") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let next = joins(1, Arc::new(AtomicU64::new(1)));
        let tally = load.run_heard(1, &next, Some(heard)).await?;
        let run = Run::of(&tally, &work.kinds, true);
        let wrong = wrong.load(Ordering::Relaxed);
        ensure!(
            wrong == 0,
            "{}: {wrong} refusals that are not coupon-sold-out",
            side.name
        );
        let own = side.own.as_ref().context("a shop of ours")?;
        self.grounds.caught_up(&own.shops).await?;
        let select = "SELECT COUNT(*) FROM user_coupons";
        let issued = self.grounds.number(&own.settings, select).await?;
        let most = options.quota.min(options.joiners);
        // Who was failed may hold one, or not: only without failures is the number known.
        let right = issued.is_none_or(|it| it == most || (run.other > 0 && it <= most));
        ensure!(
            right,
            "{}: {issued:?} coupons issued, not {most}",
            side.name
        );
        self.grounds.audit(&own.settings).await?;
        Ok(run)
    }
}

/// Whether a problem has this code.
pub fn told(body: &[u8], code: &str) -> bool {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    problem.is_some_and(|problem| problem["code"] == code)
}
