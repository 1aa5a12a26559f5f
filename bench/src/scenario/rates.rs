//! Latency under rising load: an open loop at one rate after another until the shop no longer answers what is offered.
//! Orders; after each rate the shop catches up, so that the next does not pay for the last.

use anyhow::{Result, ensure};
use clap::Args;

use super::contest::{Answered, counted, measured};
use super::orders::{Shape, work};
use crate::options::{Drive, Effort, Ours, Rivalry};
use crate::report::{RatePoint, Report};
use crate::stage::{Side, Stage};

/// Answered within the run, of what was offered.
const KEPT: f64 = 0.98;

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    rivalry: Rivalry,
    #[command(flatten)]
    shape: Shape,
    /// Start the shop on its embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long)]
    embedded: bool,
    /// Rates in orders a second, rising; it stops after the first that the shop does not keep.
    #[arg(
        long = "at",
        value_delimiter = ',',
        default_value = "500,1000,2000,3000,4000,5000,6000,8000,10000,12000,15000,20000"
    )]
    rates_per_second: Vec<f64>,
}

pub async fn run(options: &Options) -> Result<Report> {
    let rising = options
        .rates_per_second
        .windows(2)
        .all(|two| two[0] < two[1]);
    ensure!(
        rising && !options.rates_per_second.is_empty(),
        "--at takes rates that rise"
    );
    let orders = options.shape.orders()?;
    let work = work(orders);
    let mut drive = Drive::closed(&options.ours, &options.effort, 1);
    drive.embedded = options.embedded;
    let mut stage = Stage::set(&drive, &options.rivalry, &work.seed).await?;
    let mut points = Vec::new();
    let mut checks = Vec::new();
    for side in &stage.sides {
        let before = side.metrics().await?;
        let mut answered = Answered::default();
        let warm_up =
            options
                .effort
                .load(side.addresses.clone(), None, options.effort.warm_up_seconds)?;
        let tally = warm_up.run(work.kinds.len(), &orders.next()).await?;
        answered.add(&work.kinds, &tally);
        stage.caught_up(side).await?;
        for rate in &options.rates_per_second {
            let seconds = options.effort.seconds;
            let load = options
                .effort
                .load(side.addresses.clone(), Some(*rate), seconds)?;
            let (run, tally) = measured(
                &work,
                stage.grounds.as_ref(),
                side,
                &load,
                &orders.next(),
                None,
            )
            .await?;
            answered.add(&work.kinds, &tally);
            stage.caught_up(side).await?;
            let point = point(side, *rate, &run);
            let kept = point.kept;
            points.push(point);
            if !kept {
                break;
            }
        }
        if let (Some(before), Some(after)) = (before, side.metrics().await?) {
            counted(&answered, &before, &after)?;
            stage.audit(side).await?;
            checks.push(format!(
                "{}: /metrics count the answers alike, audit clean",
                side.name
            ));
        }
    }
    let load = format!(
        "open loop, {} connections, {} s at each rate",
        options.effort.connections, options.effort.seconds
    );
    let name = format!("latency under rising load: {}", work.name);
    let mut report = Report::new(name, load, stage.grounds.as_mut()).await?;
    report.rates = points;
    report.checks = checks;
    Ok(report)
}

fn point(side: &Side, rate: f64, run: &crate::report::Run) -> RatePoint {
    let answered: f64 = run.kinds.iter().map(|kind| kind.per_second).sum();
    RatePoint {
        side: side.name.clone(),
        offered_per_second: rate,
        answered_per_second: answered,
        p50_ms: run.latency.p50_ms,
        p99_ms: run.latency.p99_ms,
        max_ms: run.latency.max_ms,
        other: run.other,
        unsent: run.unsent,
        kept: answered >= rate * KEPT && run.unsent == 0,
    }
}
