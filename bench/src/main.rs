//! Load scenarios against the real shop over HTTP: throughput, latency percentiles, processor time, printed only after a check
//! that the work was real. It starts the services and the shop itself or takes an address. Run by people and CI, not by tests.

mod charts;
mod history;
mod load;
mod machine;
mod options;
mod peer;
mod processor;
mod report;
mod scenario;
mod script;
mod stage;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use scenario::{
    consumers, flash_sale, growth, guard, isolation, joins, limit, mixed, orders, polls, rates,
    reads, relay, soak, start, steps, streams, two_apis,
};

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
    /// Many ask for few coupons, then for their answers until they are final.
    FlashSale(flash_sale::Options),
    /// Status polls of people who joined.
    Polls(polls::Options),
    /// Many open event streams, and how soon they are told.
    Streams(streams::Options),
    /// Product pages and the popular list.
    Reads(reads::Options),
    /// A relay alone drains a full outbox.
    Relay(relay::Options),
    /// Each consumer group alone drains full topics.
    Consumers(consumers::Options),
    /// Orders, joins, polls and reads at once.
    Mixed(mixed::Options),
    /// The mixed load for minutes, with the memory sampled.
    Soak(soak::Options),
    /// Start to ready, and what the idle shop takes.
    Start(start::Options),
    /// Orders in a shop that has many already, against an empty one.
    Growth(growth::Options),
    /// Orders against what the database can do at all: a script that writes whole orders, many a transaction.
    Limit(limit::Options),
    /// Two API processes on one database, against one.
    TwoApis(two_apis::Options),
    /// Orders at one rate after another, until the shop does not keep it.
    Rates(rates::Options),
    /// Before and after events: answers, throughput, coupon failures.
    Steps(steps::Options),
    /// Three short ratios against the way before events; fails under a floor.
    Guard(guard::Options),
    /// Draws pictures of reports.
    Charts(charts::Options),
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
        Scenario::FlashSale(it) => (flash_sale::run(it).await?, it.ours.json),
        Scenario::Polls(it) => (polls::run(it).await?, it.drive.ours.json),
        Scenario::Streams(it) => (streams::run(it).await?, it.ours.json),
        Scenario::Reads(it) => (reads::run(it).await?, it.drive.ours.json),
        Scenario::Relay(it) => (relay::run(it).await?, it.ours.json),
        Scenario::Consumers(it) => (consumers::run(it).await?, it.ours.json),
        Scenario::Mixed(it) => (mixed::run(it).await?, it.drive.ours.json),
        Scenario::Soak(it) => (soak::run(it).await?, it.ours.json),
        Scenario::Start(it) => (start::run(it).await?, it.ours.json),
        Scenario::Growth(it) => (growth::run(it).await?, it.pairs.ours.json),
        Scenario::Limit(it) => (limit::run(it).await?, it.pairs.ours.json),
        Scenario::TwoApis(it) => (two_apis::run(it).await?, it.pairs.ours.json),
        Scenario::Rates(it) => (rates::run(it).await?, it.ours.json),
        Scenario::Steps(it) => (steps::run(it).await?, it.pairs.ours.json),
        Scenario::Guard(it) => return guard::run(it).await,
        Scenario::Charts(it) => return charts::run(it).map(|()| ExitCode::SUCCESS),
        Scenario::Isolation(it) => {
            return isolation::run(it).await.map(|()| ExitCode::SUCCESS);
        }
    };
    report.print(json)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
