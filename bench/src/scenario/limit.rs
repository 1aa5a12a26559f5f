//! The shop's orders against what its database can do at all: a script that writes whole orders into the same tables, a few hundred a
//! transaction, with no HTTP, no decision and no follow-up. Alternately, so that both meet the same machine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::Which;

use super::contest::{Answered, Work, described, measured, proven};
use super::orders::work;
use super::traffic::{Orders, PLENTY, PRICE};
use crate::options::Pairs;
use crate::report::{Report, Run};
use crate::script::{Script, Shape, Written};
use crate::stage::{Grounds, Side, Stage, seed};

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub pairs: Pairs,
    #[arg(long, default_value_t = 20_000)]
    users: u64,
    #[arg(long, default_value_t = 1_000)]
    products: u64,
    /// All orders are for product 1.
    #[arg(long)]
    one_product: bool,
    /// An Idempotency-Key with each order, a stored answer with each of the script's.
    #[arg(long)]
    keys: bool,
    /// What the script commits together.
    #[arg(long, default_value_t = 200)]
    orders_per_transaction: u64,
}

/// What the script did in one run, and MariaDB's processor time for it.
struct Scripted {
    written: Written,
    mariadb_us: f64,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(options.pairs.runs >= 1, "--runs must be at least 1");
    ensure!(
        (1..=options.users).contains(&options.orders_per_transaction) && options.products >= 1,
        "--orders-per-transaction must be from 1 to --users, and --products at least 1"
    );
    let orders = Orders {
        one_product: options.one_product,
        keys: options.keys,
        ..Orders::plain(options.users, options.products)
    };
    let work = work(orders);
    let mut grounds = Grounds::prepare(&options.pairs.ours, Which::ALL).await?;
    let settings = grounds.settings().await?;
    let side = Side::start("the shop", settings, &work.seed).await?;
    // Its schema is the shop's own; no shop runs on it.
    let scripts = grounds.settings().await?;
    seed(&scripts, &work.seed).await?;
    let url = scripts.value("MADANG_DATABASE__URL");
    let url = url.context("the script's database")?;
    let mut script = Script::connect(&url, shape(options)).await?;

    let mut stage = Stage {
        sides: vec![side],
        grounds: Some(grounds),
    };
    let (shop_runs, scripted, checks) = in_turn(options, &work, &stage, &mut script).await?;
    let grounds = stage.grounds.as_mut().context("services of ours")?;
    accounted(grounds, &scripts, options, script.written()).await?;

    let load = described(&options.pairs.effort, None, options.pairs.runs);
    let load = format!(
        "{load}; in turn with a script, {} orders a transaction on one connection",
        options.orders_per_transaction
    );
    let name = format!("{}, against what the database can do", work.name);
    let mut report = Report::new(name, load, Some(grounds)).await?;
    tell(&mut report, &shop_runs, &scripted);
    report.side(&stage.sides[0].name, shop_runs);
    report.checks = checks;
    report.check("the script: orders, events, balances and stock are what it wrote");
    Ok(report)
}

/// The measured runs of both, and what held of the shop's answers.
async fn in_turn(
    options: &Options,
    work: &Work,
    stage: &Stage,
    script: &mut Script,
) -> Result<(Vec<Run>, Vec<Scripted>, Vec<String>)> {
    let grounds = stage.grounds.as_ref().context("services of ours")?;
    let side = &stage.sides[0];
    let before = side.metrics().await?;
    let mut answered = Answered::default();
    let (mut shop_runs, mut scripted) = (Vec::new(), Vec::new());
    for number in 0..=options.pairs.runs {
        let seconds = match number {
            0 => options.pairs.effort.warm_up_seconds.max(1),
            _ => options.pairs.effort.seconds,
        };
        let load = options
            .pairs
            .effort
            .load(side.addresses.clone(), None, seconds)?;
        let next = (work.traffic)(number, 0);
        let (mut run, tally) = measured(work, Some(grounds), side, &load, &next, None).await?;
        ensure!(run.other == 0 && run.done > 0, "the shop: {}", run.text());
        answered.add(&work.kinds, &tally);
        run.caught_up(stage.caught_up(side).await?);
        let by_script = by_script(grounds, script, Duration::from_secs(seconds)).await?;
        if number > 0 {
            shop_runs.push(run);
            scripted.push(by_script);
        }
    }
    let checks = proven(stage, side, &answered, (&work.proofs, before.as_ref())).await?;
    Ok((shop_runs, scripted, checks))
}

fn shape(options: &Options) -> Shape {
    Shape {
        users: options.users,
        products: options.products,
        price: PRICE,
        one_product: options.one_product,
        keys: options.keys,
        orders_per_transaction: options.orders_per_transaction,
    }
}

async fn by_script(grounds: &Grounds, script: &mut Script, length: Duration) -> Result<Scripted> {
    let meter = grounds.meter([]);
    let before = meter.read();
    let written = script.run(length).await?;
    let used = meter.used(
        &before,
        &meter.read(),
        written.orders,
        written.took.as_secs_f64(),
    );
    Ok(Scripted {
        written,
        mariadb_us: mariadb_us(&used),
    })
}

fn mariadb_us(used: &[crate::processor::Used]) -> f64 {
    let mariadb = used.iter().find(|it| it.process == "MariaDB");
    mariadb.map_or(f64::NAN, |it| it.us_per_request)
}

/// The script's tables hold what it says that it wrote.
async fn accounted(
    grounds: &Grounds,
    scripts: &testkit::ShopSettings,
    options: &Options,
    written: u64,
) -> Result<()> {
    let balances = u128::from(options.users) * u128::from(PLENTY) * 1_000;
    let stock = u128::from(options.products) * u128::from(PLENTY);
    let written = u128::from(written);
    for (select, expected) in [
        ("SELECT COUNT(*) FROM orders", written),
        ("SELECT COUNT(*) FROM outbox", written * 3),
        (
            "SELECT COUNT(*) FROM idempotency",
            if options.keys { written } else { 0 },
        ),
        (
            "SELECT SUM(balance) FROM wallets",
            balances - written * u128::from(PRICE),
        ),
        ("SELECT SUM(stock) FROM products", stock - written),
    ] {
        let found = grounds.sql(scripts, select).await?.context("MariaDB")?;
        let found: u128 = found
            .trim()
            .parse()
            .with_context(|| format!("{select}: {found}"))?;
        ensure!(
            found == expected,
            "{select}: {found}, the script wrote {expected}"
        );
    }
    Ok(())
}

fn tell(report: &mut Report, shop: &[Run], script: &[Scripted]) {
    let of = |figure: fn(&Scripted) -> f64| script.iter().map(figure).collect::<Vec<_>>();
    let pairs = || shop.iter().zip(script);
    let share = pairs().map(|(run, it)| run.per_second / it.written.per_second());
    report.figure("the script", "orders/s", &of(|it| it.written.per_second()));
    report.figure("the shop to the script", "", &share.collect::<Vec<_>>());
    report.figure(
        "MariaDB's processor time, the script",
        "µs an order",
        &of(|it| it.mariadb_us),
    );
    let ours: Vec<f64> = shop.iter().map(|run| mariadb_us(&run.processor)).collect();
    report.figure("MariaDB's processor time, the shop", "µs an order", &ours);
}
