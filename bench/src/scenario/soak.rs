//! The mixed load for a long time, with the shop's memory sampled: what keeps growing is a leak or a queue without a bound.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::contest::{Answered, counted, measured};
use super::mixed::{Share, work};
use crate::load::Pace;
use crate::options::{Drive, Effort, Ours, Rivalry};
use crate::processor::resident_mib;
use crate::report::{Report, Run, Sample};
use crate::stage::Stage;

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    #[command(flatten)]
    share: Share,
    /// Start the shop on its embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long)]
    embedded: bool,
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Between two looks at the memory.
    #[arg(long, default_value_t = 10)]
    sample_seconds: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// An open loop at this rate, so that the shop is not at its limit all the time. Without it a closed loop.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.minutes >= 1 && options.sample_seconds >= 1,
        "--minutes and --sample-seconds must be at least 1"
    );
    let seconds = options.minutes * 60;
    let effort = Effort {
        connections: options.connections,
        threads: 1,
        seconds,
        warm_up_seconds: 0,
    };
    let work = work(options.share, 1)?;
    let mut drive = Drive::closed(&options.ours, &effort, 1);
    drive.embedded = options.embedded;
    let mut stage = Stage::set(&drive, &Rivalry::default(), &work.seed).await?;
    let side = &stage.sides[0];
    let own = side.own.as_ref().context("a shop of ours")?;
    let pid = own.shops[0].pid();
    let before = side.metrics().await?.context("a shop of ours")?;
    let mut load = effort.load(side.addresses.clone(), options.rate, seconds)?;
    let mut answered = Answered::default();
    if let Some(first) = &work.first {
        let mut joins = load.clone();
        joins.pace = Pace::Counted {
            requests: first.requests,
        };
        let tally = joins.run(work.kinds.len(), &(first.traffic)()).await?;
        answered.add(&work.kinds, &tally);
        stage.caught_up(side).await?;
    }
    load.threads = 1;
    let next = (work.traffic)(0, 0);
    let loaded = measured(&work, stage.grounds.as_ref(), side, &load, &next, None);
    let (loaded, samples) = sampled(loaded, pid, options.sample_seconds).await?;
    let (mut run, tally) = loaded?;
    answered.add(&work.kinds, &tally);
    run.caught_up(stage.caught_up(side).await?);
    counted(
        &answered,
        &before,
        &side.metrics().await?.context("a shop of ours")?,
    )?;
    stage.audit(side).await?;
    if options.rate.is_none() {
        ensure!(
            run.other == 0,
            "{} other answers: {}",
            run.other,
            run.text()
        );
    }
    told(options, &work.name, &mut stage, run, samples).await
}

async fn told(
    options: &Options,
    name: &str,
    stage: &mut Stage,
    run: Run,
    samples: Vec<Sample>,
) -> Result<Report> {
    let how = options.rate.map_or("closed loop".to_owned(), |rate| {
        format!("open loop at {rate}/s")
    });
    let load = format!(
        "{how}, {} connections, {} minutes",
        options.connections, options.minutes
    );
    let mut report = Report::new(format!("soak, {}", name), load, stage.grounds.as_mut()).await?;
    report.side("ours", vec![run]);
    // The first quarter warms caches and pools.
    let settled = &samples[samples.len() / 4..];
    report.figure(
        "slope of memory after the first quarter",
        "MiB/h",
        &[slope(settled)],
    );
    report.samples = samples;
    report.check("/metrics count the answers alike, audit clean");
    Ok(report)
}

/// Samples until `work` ends.
async fn sampled<T>(
    work: impl Future<Output = T>,
    pid: u32,
    every_s: u64,
) -> Result<(T, Vec<Sample>)> {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(every_s));
    let mut samples = Vec::new();
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok((done, samples)),
            _ = ticks.tick() => samples.push(Sample {
                at_s: begun.elapsed().as_secs_f64(),
                resident_mib: resident_mib(pid)?,
            }),
        }
    }
}

/// Least squares, a hour.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len().max(1) as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, size) = (mean(|it| it.at_s), mean(|it| it.resident_mib));
    let (mut over, mut under) = (0.0, 0.0);
    for it in samples {
        over += (it.at_s - at) * (it.resident_mib - size);
        under += (it.at_s - at).powi(2);
    }
    if under > 0.0 {
        over / under * 3_600.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_a_line() {
        let samples: Vec<Sample> = (0..10)
            .map(|i| Sample {
                at_s: f64::from(i) * 10.0,
                resident_mib: 50.0 + f64::from(i),
            })
            .collect();
        assert!((slope(&samples) - 360.0).abs() < 1e-6);
        assert_eq!(slope(&samples[..1]), 0.0);
        assert_eq!(slope(&[]), 0.0);
    }
}
