//! Isolation: orders while Kafka, Redis or the data platform is down or does not answer, each held against the same run without
//! the fault just before it. The shop must catch up and audit clean after every fault before its figures count.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use testkit::{Services, Which};

use super::contest::measured;
use super::orders::work;
use super::traffic::Orders;
use crate::machine::Machine;
use crate::options::{Effort, Ours};
use crate::peer::{Mood, Platform};
use crate::report::{Run, Spread};
use crate::stage::{Grounds, Side};

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    #[command(flatten)]
    effort: Effort,
    /// Pairs of runs, without and with the fault, for each fault.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Between the fault and the load that is measured, so that what fails at once has failed.
const SETTLE_S: u64 = 2;

#[derive(Clone, Copy, Debug)]
enum Fault {
    KafkaDown,
    KafkaHangs,
    RedisDown,
    RedisHangs,
    PlatformFails,
    PlatformHangs,
}

impl Fault {
    const ALL: [Fault; 6] = [
        Fault::KafkaDown,
        Fault::KafkaHangs,
        Fault::RedisDown,
        Fault::RedisHangs,
        Fault::PlatformFails,
        Fault::PlatformHangs,
    ];

    fn name(self) -> &'static str {
        match self {
            Fault::KafkaDown => "Kafka killed",
            Fault::KafkaHangs => "Kafka does not answer",
            Fault::RedisDown => "Redis stopped",
            Fault::RedisHangs => "Redis does not answer",
            Fault::PlatformFails => "data platform answers 500",
            Fault::PlatformHangs => "data platform does not answer",
        }
    }

    async fn begin(self, services: &mut Services, platform: &Platform) -> Result<()> {
        match self {
            Fault::PlatformFails => platform.set(Mood::Fails),
            Fault::PlatformHangs => platform.set(Mood::Hangs),
            _ => {}
        }
        match self {
            Fault::KafkaDown => services.kafka().kill(),
            Fault::KafkaHangs => signal(services.kafka().pid(), libc::SIGSTOP),
            Fault::RedisDown => services.redis().stop().await,
            Fault::RedisHangs => signal(services.redis().pid(), libc::SIGSTOP),
            Fault::PlatformFails | Fault::PlatformHangs => Ok(()),
        }
    }

    async fn end(self, services: &mut Services, platform: &Platform) -> Result<()> {
        platform.set(Mood::Takes);
        match self {
            Fault::KafkaDown => services.kafka().restart().await,
            Fault::KafkaHangs => signal(services.kafka().pid(), libc::SIGCONT),
            Fault::RedisDown => services.redis().restart().await,
            Fault::RedisHangs => signal(services.redis().pid(), libc::SIGCONT),
            Fault::PlatformFails | Fault::PlatformHangs => Ok(()),
        }
    }
}

fn signal(pid: Option<u32>, signal: libc::c_int) -> Result<()> {
    let pid = libc::pid_t::try_from(pid.context("a process of ours")?)?;
    // SAFETY: a plain system call on a child that has not been reaped.
    ensure!(
        unsafe { libc::kill(pid, signal) } == 0,
        "the signal was not sent"
    );
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    without: Run,
    with: Run,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Isolated {
    fault: &'static str,
    /// Of the pairs' ratios, with to without.
    throughput: Spread,
    p99: Spread,
    pairs: Vec<Pair>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Isolation {
    scenario: &'static str,
    machine: Machine,
    faults: Vec<Isolated>,
}

pub async fn run(options: &Options) -> Result<()> {
    let orders = Orders {
        keys: true,
        ..Orders::plain(20_000, 1_000)
    };
    let platform = Platform::start().await?;
    let mut grounds = Grounds::prepare(&options.ours, Which::ALL).await?;
    let settings = grounds.settings().await?;
    let settings = settings.env("MADANG_DATA_PLATFORM__URL", &platform.url);
    // Ends before the services, which were there first.
    let side = Side::start("ours", settings, &orders.seed()).await?;
    let mut all = Isolation {
        scenario: "isolation",
        machine: Machine::read()?,
        faults: Vec::new(),
    };
    let load =
        async |grounds: &Grounds, seconds| run_once(options, orders, grounds, &side, seconds).await;
    load(&grounds, options.effort.warm_up_seconds).await?;
    for fault in Fault::ALL {
        let mut pairs = Vec::new();
        for _ in 0..options.rounds.max(1) {
            let seconds = options.effort.seconds;
            let without = load(&grounds, seconds).await?;
            fault.begin(&mut grounds.services, &platform).await?;
            tokio::time::sleep(Duration::from_secs(SETTLE_S)).await;
            let with = load(&grounds, seconds).await;
            fault.end(&mut grounds.services, &platform).await?;
            let own = side.own.as_ref().context("a shop of ours")?;
            grounds.audit(&own.settings).await?;
            pairs.push(Pair {
                without,
                with: with?,
            });
        }
        let ratio = |figure: fn(&Run) -> f64| {
            let pairs = pairs.iter();
            Spread::of(pairs.map(|it| figure(&it.with) / figure(&it.without)))
        };
        let isolated = Isolated {
            fault: fault.name(),
            throughput: ratio(|run| run.per_second),
            p99: ratio(|run| run.latency.p99_ms),
            pairs,
        };
        if !options.ours.json {
            print(&isolated)?;
        }
        all.faults.push(isolated);
    }
    if options.ours.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

async fn run_once(
    options: &Options,
    orders: Orders,
    grounds: &Grounds,
    side: &Side,
    seconds: u64,
) -> Result<Run> {
    let load = options.effort.load(side.addresses.clone(), None, seconds)?;
    let (run, tally) = measured(
        &work(orders),
        Some(grounds),
        side,
        &load,
        &orders.next(),
        None,
    )
    .await?;
    ensure!(
        run.other == 0,
        "{} orders were not placed: {:?}",
        run.other,
        tally.kinds[0].statuses
    );
    Ok(run)
}

fn print(isolated: &Isolated) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<32} throughput x{}, p99 x{}",
        isolated.fault,
        isolated.throughput.text(),
        isolated.p99.text()
    )?;
    for pair in &isolated.pairs {
        writeln!(out, "    without {}", pair.without.text())?;
        writeln!(out, "    with    {}", pair.with.text())?;
    }
    Ok(())
}
