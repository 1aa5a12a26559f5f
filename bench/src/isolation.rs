//! Isolation: orders while Kafka, Redis or the data platform is down or does not answer, each held against the same run without
//! the fault just before it. The shop must catch up and audit clean after every fault before its figures count.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::load::closed_loop;
use crate::platform::{Mood, Platform};
use crate::report::Run;
use crate::scenario::{PLENTY, PRICE, order};
use crate::stage::{Seed, Stage};
use crate::{Drive, Orders};

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

    async fn begin(self, stage: &mut Stage, platform: &Platform) -> Result<()> {
        match self {
            Fault::PlatformFails => platform.set(Mood::Fails),
            Fault::PlatformHangs => platform.set(Mood::Hangs),
            _ => {}
        }
        match self {
            Fault::KafkaDown => stage.services()?.kafka().kill(),
            Fault::KafkaHangs => signal(stage.services()?.kafka().pid(), libc::SIGSTOP),
            Fault::RedisDown => stage.services()?.redis().stop().await,
            Fault::RedisHangs => signal(stage.services()?.redis().pid(), libc::SIGSTOP),
            Fault::PlatformFails | Fault::PlatformHangs => Ok(()),
        }
    }

    async fn end(self, stage: &mut Stage, platform: &Platform) -> Result<()> {
        platform.set(Mood::Takes);
        match self {
            Fault::KafkaDown => stage.services()?.kafka().restart().await,
            Fault::KafkaHangs => signal(stage.services()?.kafka().pid(), libc::SIGCONT),
            Fault::RedisDown => stage.services()?.redis().restart().await,
            Fault::RedisHangs => signal(stage.services()?.redis().pid(), libc::SIGCONT),
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
    /// Medians of the pairs' ratios, with to without.
    throughput: f64,
    p99: f64,
    pairs: Vec<Pair>,
}

pub async fn run(how: &Drive, rounds: usize) -> Result<()> {
    ensure!(
        how.url.is_none() && !how.embedded,
        "isolation starts its own services"
    );
    let platform = Platform::start().await?;
    let mut how = how.clone();
    how.settings
        .push(format!("MADANG_DATA_PLATFORM__URL={}", platform.url));
    let shape = Orders {
        drive: how.clone(),
        users: 20_000,
        products: 1_000,
        lines: 1,
        one_product: false,
        keys: true,
    };
    let seed = Seed {
        users: shape.users,
        products: shape.products,
        stock: PLENTY,
        price: PRICE,
        balance: PLENTY * 1_000,
        coupons: 0,
        quota: 1,
    };
    let mut stage = Stage::set(&how, &seed).await?;
    let mut all = Vec::new();
    measured(&stage, &how, &shape, how.warm_up_seconds).await?;
    for fault in Fault::ALL {
        let mut pairs = Vec::new();
        for _ in 0..rounds.max(1) {
            let without = measured(&stage, &how, &shape, how.seconds).await?;
            fault.begin(&mut stage, &platform).await?;
            tokio::time::sleep(Duration::from_secs(SETTLE_S)).await;
            let with = measured(&stage, &how, &shape, how.seconds).await;
            fault.end(&mut stage, &platform).await?;
            stage.caught_up().await?;
            pairs.push(Pair {
                without,
                with: with?,
            });
        }
        let median = |figure: fn(&Run) -> f64| {
            let mut ratios: Vec<f64> = pairs
                .iter()
                .map(|it| figure(&it.with) / figure(&it.without))
                .collect();
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        let isolated = Isolated {
            fault: fault.name(),
            throughput: median(|run| run.per_second),
            p99: median(|run| run.p99_ms),
            pairs,
        };
        if !how.json {
            print(&isolated);
        }
        all.push(isolated);
    }
    if how.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}

async fn measured(stage: &Stage, how: &Drive, shape: &Orders, seconds: u64) -> Result<Run> {
    let shape = shape.clone();
    let serial = AtomicU64::new(fastrand::u64(..));
    let next = Arc::new(move || order(&shape, &serial));
    let length = Duration::from_secs(seconds);
    let tally = closed_loop(stage.authority(), how.connections, length, next).await?;
    let run = Run::of(&tally, 201, None, Duration::ZERO)?;
    ensure!(
        run.other == 0,
        "{} orders were not placed: {:?}",
        run.other,
        run.statuses
    );
    Ok(run)
}

fn print(isolated: &Isolated) {
    println!(
        "{:<32} throughput x{:.2}, p99 x{:.2}",
        isolated.fault, isolated.throughput, isolated.p99
    );
    for pair in &isolated.pairs {
        println!(
            "    without {:>6.0}/s p99 {:>6.1} ms   with {:>6.0}/s p99 {:>6.1} ms",
            pair.without.per_second, pair.without.p99_ms, pair.with.per_second, pair.with.p99_ms
        );
    }
}
