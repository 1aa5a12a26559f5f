//! Load scenarios against the real shop over HTTP: throughput, latency percentiles and errors, printed only after a check
//! that the work was real. It starts the services and the shop itself or takes an address. Run by people and CI, not by tests.

mod isolation;
mod load;
mod platform;
mod report;
mod scenario;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Load scenarios for madang, on loopback only")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// One-line orders, closed loop: each connection sends its next order when the last one was answered.
    Orders(Orders),
    /// Joins of a coupon's first-come queue, closed loop, every shopper once.
    Joins(Joins),
    /// Orders while Kafka, Redis or the data platform is down or does not answer, each against the same without the fault.
    Isolation(Isolation),
}

#[derive(Args, Clone)]
struct Isolation {
    #[command(flatten)]
    drive: Drive,
    /// Pairs of runs, without and with the fault, for each fault.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Where the shop comes from and how hard it is driven.
#[derive(Args, Clone)]
pub struct Drive {
    /// Drive this shop (auth.mode = off, already seeded) instead of starting one.
    #[arg(long)]
    url: Option<String>,
    /// Start the shop on its embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long, conflicts_with = "url")]
    embedded: bool,
    /// The binary to start; by default the one beside this program.
    #[arg(long)]
    madang: Option<PathBuf>,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measured time.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Load before the measured time, not counted.
    #[arg(long, default_value_t = 3)]
    warm_up_seconds: u64,
    /// Measured runs after one warm-up; the figure is their median.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// A setting for the shop it starts, NAME=VALUE as an environment variable. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

#[derive(Args, Clone)]
struct Orders {
    #[command(flatten)]
    drive: Drive,
    #[arg(long, default_value_t = 20_000)]
    users: u64,
    #[arg(long, default_value_t = 1_000)]
    products: u64,
    /// All orders are for product 1.
    #[arg(long)]
    one_product: bool,
    /// Lines an order, each of another product.
    #[arg(long, default_value_t = 1)]
    lines: u64,
    /// Send an Idempotency-Key with each order.
    #[arg(long)]
    keys: bool,
}

#[derive(Args, Clone)]
struct Joins {
    #[command(flatten)]
    drive: Drive,
    /// Coupons of each campaign's quota; every run takes a campaign of its own.
    #[arg(long, default_value_t = 10_000_000)]
    quota: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().scenario {
        Scenario::Orders(orders) => scenario::orders(&orders).await,
        Scenario::Joins(joins) => scenario::joins(&joins).await,
        Scenario::Isolation(asked) => {
            return match isolation::run(&asked.drive, asked.rounds).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            };
        }
    };
    match finish(outcome) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("bench: {error:#}");
    ExitCode::FAILURE
}

fn finish(outcome: Result<report::Report>) -> Result<ExitCode> {
    let report = outcome?;
    report.print()?;
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
