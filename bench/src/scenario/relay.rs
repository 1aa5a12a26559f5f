//! A backlog in the outbox, drained by a relay of its own: a process without the role takes orders until so many rows wait, then
//! a process with nothing but the role is started. Rows a second from its first published row to the last.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::{ShopProcess, ShopSettings, Which};

use super::traffic::{ORDER, Orders};
use crate::load::{Load, Pace};
use crate::options::Ours;
use crate::processor::Used;
use crate::report::{Report, Run};
use crate::stage::{Grounds, address, scrape, seed};

const LOOK: Duration = Duration::from_millis(10);

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    /// Orders whose events wait when the relay starts; each writes three rows.
    #[arg(long, default_value_t = 50_000)]
    orders: u64,
    /// Backlogs that are drained, one after the other.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Connections from which the orders come.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// The longest that a backlog may take to drain.
    #[arg(long, default_value_t = 300)]
    drain_max_seconds: u64,
}

/// A role draining something, watched through a counter of its own.
pub struct Drained {
    pub per_second: f64,
    pub seconds: f64,
    /// From the start of the process to the first one done.
    pub first_after_s: f64,
    pub processor: Vec<Used>,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.runs >= 1 && options.orders >= 1 && options.connections >= 1,
        "--runs, --orders and --connections must be at least 1"
    );
    let mut grounds = Grounds::prepare(&options.ours, Which::ALL).await?;
    let settings = grounds.settings().await?;
    let orders = Orders::plain(20_000, 1_000);
    seed(&settings, &orders.seed()).await?;
    let api = settings.clone().arg("--role").arg("api").start().await?;
    let mut drained = Vec::new();
    for _ in 0..options.runs {
        place(&api, orders, options.orders, options.connections).await?;
        let select = "SELECT CAST(COALESCE(SUM(events), 0) AS SIGNED INTEGER) FROM outbox";
        let events = grounds.number(&settings, select).await?;
        let events = events.context("the number of events")?;
        ensure!(
            events == options.orders * 3,
            "{} orders wrote {events} events, not three each",
            options.orders
        );
        let role = settings.clone().arg("--role").arg("relay");
        let most = Duration::from_secs(options.drain_max_seconds);
        let what = ("madang_outbox_published_total", &[][..]);
        let (relay, done) = drain(&grounds, &role, what, events, most).await?;
        stopped(relay).await?;
        let left = grounds.number(&settings, select).await?;
        ensure!(left == Some(0), "{left:?} events are left of {events}");
        drained.push(done.context(TOO_FEW)?);
    }
    // The consumers have had nobody until now; the audit wants every effect.
    let rest = settings.start().await?;
    let shops = [api, rest];
    grounds.caught_up(&shops).await?;
    grounds.audit(&settings).await?;
    let load = format!(
        "{} orders' events wait, then a process of the role relay alone; {} time(s)",
        options.orders, options.runs
    );
    let mut report = Report::new("relay drains a backlog", load, Some(&mut grounds)).await?;
    let of = |figure: fn(&Drained) -> f64| drained.iter().map(figure).collect::<Vec<_>>();
    report.figure("published", "events/s", &of(|it| it.per_second));
    report.figure("first event to last event", "s", &of(|it| it.seconds));
    report.figure(
        "start of the process to the first event",
        "s",
        &of(|it| it.first_after_s),
    );
    processor(
        &mut report,
        "event",
        drained.iter().map(|it| &it.processor[..]),
    );
    report.check("every event was published, its row deleted, all effects followed, audit clean");
    Ok(report)
}

/// Where `drain` has no rate.
pub const TOO_FEW: &str = "half of the backlog was done at the first look: too few to tell a rate";

pub async fn place(
    api: &ShopProcess,
    orders: Orders,
    count: u64,
    connections: usize,
) -> Result<()> {
    let load = Load {
        addresses: vec![address(api)?],
        connections,
        threads: 1,
        pace: Pace::Counted { requests: count },
    };
    let tally = load.run(1, &orders.next()).await?;
    let run = Run::of(&tally, &[ORDER], true);
    ensure!(
        run.done == count && run.other == 0,
        "of {count} orders {} were placed: {}",
        run.done,
        run.text()
    );
    Ok(())
}

/// Starts a process and watches a counter of its own until it has done `count`; the rate is from the first look at which
/// something was done to the last, so that starting it does not count. No rate where the first look found half of it done.
pub async fn drain(
    grounds: &Grounds,
    role: &ShopSettings,
    (counter, labels): (&str, &[(&str, &str)]),
    count: u64,
    most: Duration,
) -> Result<(ShopProcess, Option<Drained>)> {
    let begun = Instant::now();
    let mut shop = role.start_unready()?;
    // It answers its metrics before it begins its role.
    shop.ready(most).await?;
    let meter = grounds.meter([&shop]);
    let mut before = meter.read();
    let mut first: Option<(Instant, f64)> = None;
    loop {
        let done = scrape(std::slice::from_ref(&shop))
            .await?
            .sum(counter, labels);
        let now = Instant::now();
        if done > 0.0 && first.is_none() {
            first = Some((now, done));
            before = meter.read();
        }
        if done >= count as f64 {
            let (at, already) = first.unwrap_or((begun, 0.0));
            let (seconds, rows) = (now.duration_since(at).as_secs_f64(), done - already);
            let after = meter.read();
            let drained = (rows >= count as f64 / 2.0).then(|| Drained {
                per_second: rows / seconds,
                seconds,
                first_after_s: at.duration_since(begun).as_secs_f64(),
                processor: meter.used(&before, &after, rows as u64, seconds),
            });
            return Ok((shop, drained));
        }
        ensure!(begun.elapsed() < most, "{done} of {count} after {most:?}");
        tokio::time::sleep(LOOK).await;
    }
}

pub async fn stopped(mut shop: ShopProcess) -> Result<()> {
    let code = shop.stop().await?;
    ensure!(code == 0, "the shop ended with {code}");
    Ok(())
}

/// A line for each process: its time per `what`.
pub fn processor<'a>(
    report: &mut Report,
    what: &str,
    runs: impl Iterator<Item = &'a [Used]> + Clone,
) {
    let names: Vec<String> = runs
        .clone()
        .next()
        .map(|used| used.iter().map(|it| it.process.clone()).collect())
        .unwrap_or_default();
    for name in names {
        let of = runs.clone().flatten().filter(|it| it.process == name);
        let us: Vec<f64> = of.map(|it| it.us_per_request).collect();
        report.figure(format!("processor of {name} a {what}"), "µs", &us);
    }
}
