//! From the start of the process to ready, on both modes, and what it takes while nobody asks for anything.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::{ShopSettings, Which};

use crate::options::Ours;
use crate::processor::{of_process_us, resident_mib};
use crate::report::Report;
use crate::stage::Grounds;

const READY: Duration = Duration::from_secs(120);

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    /// Starts that are measured after the first, which makes the schema.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How long it is left alone first, to join its groups.
    #[arg(long, default_value_t = 10)]
    settle_seconds: u64,
    /// How long the idle shop is watched.
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.runs >= 1 && options.idle_seconds >= 1,
        "--runs and --idle-seconds must be at least 1"
    );
    let mut embedded = Grounds::prepare(&options.ours, Which::NONE).await?;
    let of_embedded = on(options, &mut embedded).await?;
    let mut real = Grounds::prepare(&options.ours, Which::ALL).await?;
    let of_real = on(options, &mut real).await?;
    let load = format!("{} starts, {} s idle", options.runs, options.idle_seconds);
    let mut report = Report::new("start to ready, and idle", load, Some(&mut real)).await?;
    "both modes".clone_into(&mut report.on);
    for (mode, of) in [("embedded", of_embedded), ("services", of_real)] {
        report.figure(
            format!("{mode}: first start, on empty stores"),
            "ms",
            &[of.first_ms],
        );
        report.figure(format!("{mode}: start to ready"), "ms", &of.ready_ms);
        report.figure(format!("{mode}: idle memory"), "MiB", &[of.idle_mib]);
        report.figure(
            format!("{mode}: idle processor"),
            "% of a core",
            &[of.idle_percent],
        );
    }
    report.check("/readyz answered 200 after each start");
    Ok(report)
}

struct Starts {
    first_ms: f64,
    ready_ms: Vec<f64>,
    idle_mib: f64,
    idle_percent: f64,
}

async fn on(options: &Options, grounds: &mut Grounds) -> Result<Starts> {
    let settings = grounds.shipped_settings().await?;
    let (first_ms, shop) = started(&settings).await?;
    ended(shop).await?;
    let mut ready_ms = Vec::new();
    for _ in 0..options.runs {
        let (ms, shop) = started(&settings).await?;
        ready_ms.push(ms);
        ended(shop).await?;
    }
    let (_, shop) = started(&settings).await?;
    // The measurement itself is to let time pass.
    tokio::time::sleep(Duration::from_secs(options.settle_seconds)).await;
    let before = of_process_us(shop.pid())?;
    tokio::time::sleep(Duration::from_secs(options.idle_seconds)).await;
    let used = of_process_us(shop.pid())?.saturating_sub(before) as f64;
    let idle = Starts {
        first_ms,
        ready_ms,
        idle_mib: resident_mib(shop.pid())?,
        idle_percent: used / (options.idle_seconds as f64 * 1e6) * 100.0,
    };
    ended(shop).await?;
    Ok(idle)
}

async fn started(settings: &ShopSettings) -> Result<(f64, testkit::ShopProcess)> {
    let begun = Instant::now();
    let mut shop = settings.start_unready()?;
    shop.ready(READY).await?;
    Ok((begun.elapsed().as_secs_f64() * 1_000.0, shop))
}

async fn ended(mut shop: testkit::ShopProcess) -> Result<()> {
    let code = shop.stop().await.context("stopping the shop")?;
    ensure!(code == 0, "the shop ended with {code}");
    Ok(())
}
