//! Orders in a shop that has many already, against an empty one of the same kind, alternately.
//! The many are placed through the shop itself before anything is measured, so that the audit holds for them too.

use anyhow::{Result, ensure};
use clap::Args;
use testkit::Which;

use super::contest::{Work, compete, described};
use super::traffic::{ORDER, Orders};
use crate::load::Pace;
use crate::options::Pairs;
use crate::report::{Report, Run};
use crate::stage::{Grounds, Side, Stage};

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub pairs: Pairs,
    /// Start the shops on their embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long)]
    embedded: bool,
    /// Orders in the grown shop before the first run.
    #[arg(long, default_value_t = 500_000)]
    orders: u64,
    /// Users of the grown shop; the empty one has 20000 or as many, whichever is less.
    #[arg(long, default_value_t = 200_000)]
    users: u64,
    /// Products of the grown shop; the empty one has 1000 or as many, whichever is less.
    #[arg(long, default_value_t = 20_000)]
    products: u64,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.users >= 1 && options.products >= 1,
        "--users and --products must be at least 1"
    );
    let grown = Orders::plain(options.users, options.products);
    let empty = Orders::plain(options.users.min(20_000), options.products.min(1_000));
    let which = if options.embedded {
        Which::NONE
    } else {
        Which::ALL
    };
    let mut grounds = Grounds::prepare(&options.pairs.ours, which).await?;
    let mut sides = Vec::new();
    for (name, orders) in [("grown", grown), ("empty", empty)] {
        let settings = grounds.settings().await?;
        sides.push(Side::start(name, settings, &orders.seed()).await?);
    }
    let mut stage = Stage {
        sides,
        grounds: Some(grounds),
    };
    fill(options, grown, &stage).await?;
    let work = Work {
        name: format!(
            "growth: a shop with {} orders, {} users, {} products",
            options.orders, options.users, options.products
        ),
        kinds: vec![ORDER],
        first_only: true,
        seed: empty.seed(),
        first: None,
        traffic: Box::new(move |_, side| if side == 0 { grown } else { empty }.next()),
        // What was placed before is not among the answers: `fill` has counted it.
        proofs: Vec::new(),
    };
    let drive = options.pairs.drive();
    let (sides, checks) = compete(&work, &drive, &stage).await?;
    let load = described(&options.pairs.effort, None, options.pairs.runs);
    let mut report = Report::new(&work.name, load, stage.grounds.as_mut()).await?;
    for (side, runs) in stage.sides.iter().zip(sides) {
        report.side(&side.name, runs);
    }
    report.checks = checks;
    report.check(format!(
        "{} orders stood there before the first run",
        options.orders
    ));
    Ok(report)
}

async fn fill(options: &Options, orders: Orders, stage: &Stage) -> Result<()> {
    let side = &stage.sides[0];
    let mut load = options.pairs.effort.load(side.addresses.clone(), None, 0)?;
    load.pace = Pace::Counted {
        requests: options.orders,
    };
    let kinds = [ORDER];
    let tally = load.run(kinds.len(), &orders.next()).await?;
    let run = Run::of(&tally, &kinds, true);
    ensure!(
        run.done == options.orders && run.other == 0,
        "of {} orders to fill the shop {} were placed",
        options.orders,
        run.done
    );
    stage.caught_up(side).await?;
    if let (Some(own), Some(grounds)) = (&side.own, &stage.grounds)
        && let Some(stored) = grounds.number(&own.settings, COUNT).await?
    {
        ensure!(stored == options.orders, "{stored} orders are stored");
    }
    Ok(())
}

const COUNT: &str = "SELECT COUNT(*) FROM orders";
