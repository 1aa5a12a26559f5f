//! Load scenarios against the real shop over HTTP: throughput, latency percentiles, processor time, printed only after a check
//! that the work was real. It starts the services and the shop itself or takes an address. Run by people and CI, not by tests.

mod load;
mod machine;
mod options;
mod peer;
mod processor;
mod report;
mod scenario;
mod stage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use scenario::{guard, isolation, joins, orders, rates, steps};

#[derive(Parser)]
#[command(
    about = "Load scenarios for madang, on loopback only",
    after_help = "docs/PERFORMANCE.md says what each does and checks, and how to read it."
)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Orders, spread over products or for one.
    Orders(orders::Options),
    /// Joins of a coupon's first-come queue, every shopper once.
    Joins(joins::Options),
    /// Orders at one rate after another, until the shop does not keep it.
    Rates(rates::Options),
    /// Before and after events: answers, throughput, coupon failures.
    Steps(steps::Options),
    /// Three short ratios against the way before events; fails under a floor.
    Guard(guard::Options),
    /// Orders while Kafka, Redis or the data platform is down or does not answer, each against the same without the fault.
    Isolation(isolation::Options),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(Cli::parse().scenario).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(scenario: Scenario) -> Result<ExitCode> {
    let (report, json) = match &scenario {
        Scenario::Orders(it) => (orders::run(it).await?, it.drive.ours.json),
        Scenario::Joins(it) => (joins::run(it).await?, it.drive.ours.json),
        Scenario::Rates(it) => (rates::run(it).await?, it.ours.json),
        Scenario::Steps(it) => (steps::run(it).await?, it.ours.json),
        Scenario::Guard(it) => return guard::run(it).await,
        Scenario::Isolation(it) => {
            return isolation::run(it).await.map(|()| ExitCode::SUCCESS);
        }
    };
    report.print(json)?;
    Ok(ExitCode::SUCCESS)
}
