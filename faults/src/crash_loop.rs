//! The crash loop: faults one after another on one fleet under load; after each the load is held and the shop is judged.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::firing::Firing;
use crate::fleet::{COUPONS, Fleet, Ground, Services};
use crate::load::Load;
use crate::points::{Fault, Reach, faults};
use crate::verify::{Depth, verify};

#[derive(Clone, Debug)]
pub struct Options {
    /// The shop, built with the feature `failpoints`.
    pub binary: PathBuf,
    pub embedded: bool,
    /// Chooses order, sample and chances; the same seed does the same again, as far as processes can.
    pub seed: u64,
    /// So many of all faults; `None`: all.
    pub sample: Option<usize>,
    /// No further fault begins after so long.
    pub within: Option<Duration>,
    /// The part of the faults, from 1, and the number of parts.
    pub shard: (usize, usize),
    /// Faults by name (`point:mode`), or points, or steps; empty: all.
    pub only: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Report {
    pub fired: usize,
    pub planned: usize,
    pub answered: u64,
    pub restarts: u64,
    pub slowest_ready: Duration,
}

/// Runs what was asked for; `None`: a service cannot be had, and that has been said.
///
/// # Errors
/// The first difference, or a point that was not reached, with what repeats it.
pub async fn run(options: &Options) -> Result<Option<Report>> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let plan = plan(options, &mut random);
    ensure!(!plan.is_empty(), "no fault is called {:?}", options.only);
    let services = match options.embedded {
        true => Services::Embedded,
        false => Services::Shared,
    };
    let Some(mut ground) = Ground::prepare(options.binary.clone(), services).await? else {
        return Ok(None);
    };
    ground.seed().await?;
    let mut fleet = Fleet::start(&ground).await?;
    let mut load = Load::start(fleet.api(), (1..=COUPONS).collect(), options.seed);
    let began = Instant::now();
    let mut report = Report {
        planned: plan.len(),
        ..Report::default()
    };
    for (n, fault) in plan.iter().enumerate() {
        if options
            .within
            .is_some_and(|within| began.elapsed() >= within)
        {
            break;
        }
        let started = Instant::now();
        let fired = Firing {
            ground: &mut ground,
            fleet: &mut fleet,
            load: &load,
            fault,
            random: &mut random,
        }
        .fire()
        .await;
        let firing = started.elapsed();
        let judged = match fired {
            Ok(()) => judge(&ground, &mut load, Depth::Sample, &mut random).await,
            Err(error) => Err(error),
        };
        judged.with_context(|| told(options, fault, &fleet))?;
        report.fired += 1;
        println!(
            "{:>4}/{} {:<38} fired in {:>5.1} s, judged in {:>4.1} s",
            n + 1,
            plan.len(),
            fault.name(),
            firing.as_secs_f64(),
            (started.elapsed() - firing).as_secs_f64()
        );
    }
    let last = plan.last().context("an empty plan")?;
    let judged = judge(&ground, &mut load, Depth::Everything, &mut random).await;
    judged.with_context(|| told(options, last, &fleet))?;
    report.answered = load.shared.journal.with(|state| state.answered);
    report.restarts = fleet.restarts;
    report.slowest_ready = fleet.slowest_ready;
    Ok(Some(report))
}

/// The faults of this run, in their order. Those after which answers to keys are forgotten come last.
fn plan(options: &Options, random: &mut fastrand::Rng) -> Vec<Fault> {
    let mut all = faults(options.embedded);
    random.shuffle(&mut all);
    let asked = |fault: &Fault| {
        let names = [fault.name(), fault.point(), fault.step.name.to_owned()];
        options.only.is_empty() || options.only.iter().any(|only| names.contains(only))
    };
    let (part, parts) = options.shard;
    let mut plan: Vec<Fault> = all
        .into_iter()
        .filter(asked)
        .enumerate()
        .filter(|(n, _)| n % parts.max(1) == part.saturating_sub(1))
        .map(|(_, fault)| fault)
        .collect();
    plan.truncate(options.sample.unwrap_or(usize::MAX));
    plan.sort_by_key(|fault| fault.step.reach == Reach::Janitor);
    plan
}

/// The load is held; the audit and the journal must find nothing.
pub(crate) async fn judge(
    ground: &Ground,
    load: &mut Load,
    depth: Depth,
    random: &mut fastrand::Rng,
) -> Result<()> {
    let shared = load.shared.clone();
    let _held = load.hold().await?;
    let audit = ground.audit().await?;
    if audit.code != 0 {
        bail!("the audit differs:\n{}{}", audit.stdout, audit.stderr);
    }
    verify(&shared, depth, random).await?;
    shared.journal.with(|state| {
        state.recoveries += u64::from(state.recovering);
        state.recovering = false;
    });
    Ok(())
}

fn told(options: &Options, fault: &Fault, fleet: &Fleet) -> String {
    format!(
        "{} (repeat it with --seed {} and --only {}); the processes printed last:\n{}",
        fault.name(),
        options.seed,
        fault.name(),
        fleet.logs()
    )
}
