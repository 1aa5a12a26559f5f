//! For CI: three short loads, each alternately on the shop and on the way it was before events, in one run of one machine.
//! Absolute figures of a shared machine say little; the ratio of neighbours says whether something broke. Fails under a floor.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use testkit::Which;

use super::contest::{Work, contest_on};
use super::traffic::Orders;
use super::{joins, orders};
use crate::options::{Drive, Effort, Ours, Rival, Rivalry};
use crate::report::{Report, Spread};
use crate::stage::{Grounds, Stage};

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measured time of a run.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Pairs of runs of each scenario; the ratio is the median of theirs.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The least ratio of throughput, ours to inline, for orders spread over products.
    #[arg(long, default_value_t = 2.0)]
    floor_orders_spread: f64,
    /// The same for orders of one product.
    #[arg(long, default_value_t = 2.0)]
    floor_orders_one_product: f64,
    /// The same for joins.
    #[arg(long, default_value_t = 2.5)]
    floor_joins: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    scenario: &'static str,
    ratio: Spread,
    floor: f64,
    held: bool,
    report: Report,
}

pub async fn run(options: &Options) -> Result<ExitCode> {
    let spread = Orders::plain(20_000, 1_000);
    let one = Orders {
        one_product: true,
        ..spread
    };
    let scenarios: [(&str, f64, Work); 3] = [
        (
            "orders, spread",
            options.floor_orders_spread,
            orders::work(spread),
        ),
        (
            "orders, one product",
            options.floor_orders_one_product,
            orders::work(one),
        ),
        (
            "joins",
            options.floor_joins,
            joins::work(options.runs, 10_000_000, 1),
        ),
    ];
    let effort = Effort {
        connections: options.connections,
        threads: 1,
        seconds: options.seconds,
        warm_up_seconds: options.seconds.min(1),
    };
    let drive = Drive::closed(&options.ours, &effort, options.runs);
    let rivalry = Rivalry {
        rival: Some(Rival::Inline),
        against: None,
    };
    let mut verdicts = Vec::new();
    let mut grounds = Some(Grounds::prepare(&options.ours, Which::ALL).await?);
    for (scenario, floor, work) in scenarios {
        let on = grounds.take().context("the services of the guard")?;
        let stage = Stage::on(on, &rivalry, &work.seed).await?;
        let (report, freed) = contest_on(&work, &drive, stage).await?;
        grounds = freed;
        let ratio = report.ratio.map(|it| it.per_second).unwrap_or_default();
        let held = ratio.median >= floor;
        if !options.ours.json {
            report.print(false)?;
            let word = if held { "held" } else { "FELL UNDER ITS FLOOR" };
            let line = format!(
                "{scenario}: ratio x{}, floor x{floor}: {word}",
                ratio.text()
            );
            writeln!(std::io::stdout(), "{line}\n")?;
        }
        verdicts.push(Verdict {
            scenario,
            ratio,
            floor,
            held,
            report,
        });
    }
    if options.ours.json {
        let text = serde_json::to_string_pretty(&verdicts)?;
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(if verdicts.iter().all(|it| it.held) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
