//! Orders in a shop that has many already, against an empty one of the same kind, alternately.
//! The many are written into the shop's tables before it starts, with all that follows from them, so that the audit holds for them too.

use anyhow::{Result, ensure};
use clap::Args;
use testkit::Which;

use super::contest::{Work, compete, described};
use super::traffic::{ORDER, Orders};
use crate::history;
use crate::options::Pairs;
use crate::report::Report;
use crate::stage::{Grounds, Side, Stage, seed};

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub pairs: Pairs,
    /// Start the shops on their embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long)]
    embedded: bool,
    /// Orders in the grown shop before the first run.
    #[arg(long, default_value_t = 10_000_000)]
    orders: u64,
    /// Users of the grown shop; the empty one has 20000 or as many, whichever is less.
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,
    /// Products of the grown shop; the empty one has 1000 or as many, whichever is less.
    #[arg(long, default_value_t = 1_000_000)]
    products: u64,
    /// Memory for MariaDB's pages, which a shop's operator lets grow with it. A server that was given keeps what it has.
    #[arg(long, default_value_t = 4_096)]
    buffer_pool_mib: u64,
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
    if let Some(mariadb) = &grounds.services.mariadb
        && mariadb.pid().is_some()
    {
        let bytes = options.buffer_pool_mib << 20;
        let resize = format!("SET GLOBAL innodb_buffer_pool_size = {bytes}");
        mariadb.execute(&resize).await?;
    }
    let mut sides = Vec::new();
    for (name, orders, before) in [("grown", grown, options.orders), ("empty", empty, 0)] {
        let settings = grounds.settings().await?;
        let filled = orders.seed();
        seed(&settings, &filled).await?;
        if before > 0 {
            history::write(&settings, &filled, before).await?;
        }
        let shop = settings.start().await?;
        sides.push(Side::of(name, settings, vec![shop])?);
    }
    let mut stage = Stage {
        sides,
        grounds: Some(grounds),
    };
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
        // What was there before is not among the answers: `history` has counted it.
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
