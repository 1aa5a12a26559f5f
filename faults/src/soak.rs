//! The soak: random faults under load for a long time, of the shop's processes and of the services they stand on; after each
//! the shop is judged, and the memory of what has lived for a while is read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::crash_loop::judge;
use crate::firing::Firing;
use crate::fleet::{COUPONS, Fleet, Ground, Services};
use crate::load::Load;
use crate::points::{Fault, Reach, faults};
use crate::verify::Depth;

#[derive(Clone, Debug)]
pub struct Options {
    /// The shop, built with the feature `failpoints`.
    pub binary: PathBuf,
    pub seed: u64,
    pub lasting: Duration,
}

#[derive(Debug, Default)]
pub struct Report {
    /// How often each kind of fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    pub answered: u64,
    pub restarts: u64,
    pub slowest_ready: Duration,
    /// Resident memory of processes that had lived a minute, in KiB, in the order in which it was read.
    pub resident_kib: Vec<u64>,
}

enum Kind {
    Point(Box<Fault>),
    Database,
    Broker,
    RedisRestart,
    RedisEmpty,
}

impl Kind {
    fn word(&self) -> &'static str {
        match self {
            Kind::Point(fault) => fault.mode.word(),
            Kind::Database => "MariaDB killed",
            Kind::Broker => "Kafka killed",
            Kind::RedisRestart => "Redis killed",
            Kind::RedisEmpty => "Redis emptied",
        }
    }

    fn choose(random: &mut fastrand::Rng) -> Kind {
        match random.u8(..20) {
            0 => Kind::Database,
            1 => Kind::Broker,
            2 => Kind::RedisRestart,
            3 => Kind::RedisEmpty,
            _ => {
                let mut all = faults(false);
                // After the janitor answers to keys are forgotten.
                all.retain(|fault| fault.step.reach != Reach::Janitor);
                Kind::Point(Box::new(all.swap_remove(random.usize(..all.len()))))
            }
        }
    }
}

/// `None`: a service cannot be had, and that has been said.
///
/// # Errors
/// The first difference, with what happened before it.
pub async fn run(options: &Options) -> Result<Option<Report>> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let binary = options.binary.clone();
    let Some(mut ground) = Ground::prepare(binary, Services::Own).await? else {
        return Ok(None);
    };
    ground.seed().await?;
    let mut fleet = Fleet::start(&ground).await?;
    let mut load = Load::start(fleet.api(), (1..=COUPONS).collect(), options.seed);
    let began = Instant::now();
    let mut report = Report::default();
    while began.elapsed() < options.lasting {
        let kind = Kind::choose(&mut random);
        let happened = happen(&kind, &mut ground, &mut fleet, &load, &mut random).await;
        let judged = match happened {
            Ok(()) => judge(&ground, &mut load, Depth::Sample, &mut random).await,
            Err(error) => Err(error),
        };
        judged.with_context(|| {
            let fault = match &kind {
                Kind::Point(fault) => fault.name(),
                other => other.word().to_owned(),
            };
            let minutes = began.elapsed().as_secs() / 60;
            format!(
                "{fault}, after {minutes} minutes, seed {}\n{}",
                options.seed,
                fleet.logs()
            )
        })?;
        *report.faults.entry(kind.word()).or_default() += 1;
        report
            .resident_kib
            .extend(fleet.resident_kib(Duration::from_secs(60)));
        let so_far: u64 = report.faults.values().sum();
        if so_far.is_multiple_of(20) {
            println!("{:>5} s  {so_far} faults", began.elapsed().as_secs());
        }
    }
    judge(&ground, &mut load, Depth::Everything, &mut random).await?;
    report.answered = load.shared.journal.with(|state| state.answered);
    report.restarts = fleet.restarts;
    report.slowest_ready = fleet.slowest_ready;
    Ok(Some(report))
}

async fn happen(
    kind: &Kind,
    ground: &mut Ground,
    fleet: &mut Fleet,
    load: &Load,
    random: &mut fastrand::Rng,
) -> Result<()> {
    if matches!(kind, Kind::RedisRestart | Kind::RedisEmpty) {
        load.shared.journal.with(|state| state.recovering = true);
    }
    match kind {
        Kind::Point(fault) => {
            let mut firing = Firing {
                ground,
                fleet,
                load,
                fault,
                random,
            };
            firing.fire().await
        }
        Kind::Database => {
            let (mariadb, _) = ground.own.as_mut().context("a database of our own")?;
            mariadb.kill()?;
            mariadb.restart().await
        }
        Kind::Broker => {
            let (_, kafka) = ground.own.as_mut().context("a broker of our own")?;
            kafka.kill()?;
            kafka.restart().await
        }
        Kind::RedisRestart => {
            let redis = ground.redis.as_mut().context("a Redis of our own")?;
            redis.kill()?;
            redis.restart().await
        }
        Kind::RedisEmpty => {
            let redis = ground.redis.as_mut().context("a Redis of our own")?;
            redis.restart_wiped().await
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        writeln!(f, "{faults} faults, 0 differences: {:?}", self.faults)?;
        writeln!(
            f,
            "{} answers, {} restarts, ready again after {:.1} s at most",
            self.answered,
            self.restarts,
            self.slowest_ready.as_secs_f64()
        )?;
        let quarter = self.resident_kib.len() / 4;
        let mean = |part: &[u64]| part.iter().sum::<u64>() / (part.len().max(1) as u64) / 1_024;
        write!(
            f,
            "resident memory a process: {} MiB in the first quarter, {} MiB in the last, {} MiB at most",
            mean(&self.resident_kib[..quarter]),
            mean(&self.resident_kib[self.resident_kib.len() - quarter..]),
            self.resident_kib.iter().max().unwrap_or(&0) / 1_024
        )
    }
}
