//! `faults`: breaks the shop on purpose and judges what is left. `faults --help` says more.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use faults::{crash_loop, planted, soak, table};

#[derive(Parser)]
#[command(about = "Breaks the shop on purpose, on loopback only, and judges what is left")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every failpoint as kill, error and delay, one after another under load.
    CrashLoop(CrashLoop),
    /// Random faults under load for a long time: failpoints, and the services killed, restarted and emptied.
    Soak(Soak),
    /// Plants bugs into a copy of the sources, one at a time: each must be found by what its patch names.
    Planted(Planted),
    /// Prints the table of failpoints, in Markdown.
    Table,
}

/// The binary under test.
#[derive(Args)]
struct Build {
    /// A shop built with the feature failpoints; by default it is built.
    #[arg(long)]
    madang: Option<PathBuf>,
    /// On the embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long)]
    embedded: bool,
}

#[derive(Args)]
struct CrashLoop {
    #[command(flatten)]
    build: Build,
    /// By default another each time; a failure prints it.
    #[arg(long)]
    seed: Option<u64>,
    /// So many of the faults, chosen by the seed.
    #[arg(long)]
    sample: Option<usize>,
    /// No further fault begins after so long.
    #[arg(long)]
    within_seconds: Option<u64>,
    /// The i-th of n parts of the faults.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    shard: (usize, usize),
    /// A fault (POINT:MODE), a point or a step. May be repeated.
    #[arg(long)]
    only: Vec<String>,
}

#[derive(Args)]
struct Soak {
    /// A shop built with the feature failpoints; by default it is built.
    #[arg(long)]
    madang: Option<PathBuf>,
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// By default another each time; a failure prints it.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Args)]
struct Planted {
    /// Prints what there is, in Markdown, and plants nothing.
    #[arg(long)]
    list: bool,
    /// The i-th of n parts of the bugs.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    shard: (usize, usize),
    /// A bug by its name. May be repeated.
    #[arg(long)]
    only: Vec<String>,
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if (1..=n).contains(&i) => Ok((i, n)),
        _ => Err("must be I/N, such as 2/4".into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::CrashLoop(asked) => run_crash_loop(asked).await,
        Command::Soak(asked) => run_soak(asked).await,
        Command::Planted(asked) => run_planted(asked).await,
        Command::Table => {
            print!("{}", table::markdown());
            Ok(())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_crash_loop(asked: CrashLoop) -> Result<()> {
    let seed = asked.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let options = crash_loop::Options {
        binary: binary(asked.build.madang).await?,
        embedded: asked.build.embedded,
        seed,
        sample: asked.sample,
        within: asked.within_seconds.map(Duration::from_secs),
        shard: asked.shard,
        only: asked.only,
    };
    println!("crash loop, seed {seed}");
    let Some(report) = crash_loop::run(&options).await? else {
        bail!("did not run: a service is missing");
    };
    println!(
        "{} of {} faults fired, 0 differences; {} answers, {} restarts, ready again after {:.1} s at most",
        report.fired,
        report.planned,
        report.answered,
        report.restarts,
        report.slowest_ready.as_secs_f64()
    );
    Ok(())
}

async fn run_soak(asked: Soak) -> Result<()> {
    let seed = asked.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("soak of {} minutes, seed {seed}", asked.minutes);
    let options = soak::Options {
        binary: binary(asked.madang).await?,
        seed,
        lasting: Duration::from_secs(asked.minutes * 60),
    };
    let Some(report) = soak::run(&options).await? else {
        bail!("did not run: a service is missing");
    };
    println!("{report}");
    Ok(())
}

async fn run_planted(asked: Planted) -> Result<()> {
    if asked.list {
        print!("{}", planted::markdown()?);
        return Ok(());
    }
    let (caught, of) = planted::run(&asked.only, asked.shard).await?;
    println!("{caught} of {of} planted bugs caught");
    ensure!(caught == of, "the judges slept");
    Ok(())
}

/// The shop with failpoints, built unless it was given. A copy, so that a later build does not change what runs.
async fn binary(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(given) = given {
        return given
            .canonicalize()
            .with_context(|| given.display().to_string());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = tokio::process::Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "-p",
            "madang",
            "--features",
            "failpoints",
        ])
        .status()
        .await
        .context("running cargo")?;
    ensure!(built.success(), "the shop with failpoints was not built");
    let beside = std::env::current_exe()?.with_file_name("madang");
    let copy = beside.with_file_name("madang-with-failpoints");
    std::fs::copy(&beside, &copy).with_context(|| beside.display().to_string())?;
    Ok(copy)
}
