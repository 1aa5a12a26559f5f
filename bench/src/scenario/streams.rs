//! Many open Server-Sent Event streams: people wait with a stream each while nothing issues coupons; then a consumer is started
//! and everybody is told. Memory of the shop per stream, and how long it takes from the issue to being told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use testkit::{ShopProcess, Which};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::traffic::{JOIN, PRICE, joins, stream};
use crate::load::{Connection, Load, Pace, Request};
use crate::options::Ours;
use crate::processor::resident_mib;
use crate::report::{Latency, Report, Run};
use crate::stage::{Grounds, Seed, address, in_roles, seed};

/// The kernel has some 28000 ports for connections to one address.
const STREAMS_MAX: u64 = 25_000;
/// Streams that are being opened at the same time.
const OPENING: usize = 64;
const LOOK: Duration = Duration::from_millis(20);

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    /// Open streams, each of another person.
    #[arg(long, default_value_t = 10_000)]
    streams: u64,
    /// The longest that opening all, or telling all, may take.
    #[arg(long, default_value_t = 120)]
    wait_max_seconds: u64,
}

pub async fn run(options: &Options) -> Result<Report> {
    let streams = options.streams;
    ensure!(
        (1..=STREAMS_MAX).contains(&streams),
        "--streams must be from 1 to {STREAMS_MAX}"
    );
    // One for each on either side, and what else a process has open.
    raise_open_files(streams + 2_000)?;
    let mut grounds = Grounds::prepare(&options.ours, Which::ALL).await?;
    let settings = grounds.settings().await?;
    let settings = settings
        .env("MADANG_COUPON__STREAMS_MAX", streams.to_string())
        .env(
            "MADANG_COUPON__SCHEDULER__UNSETTLED_MAX",
            (streams + 1_000).to_string(),
        );
    seed(&settings, &of_one_campaign(streams)).await?;
    let waiting_room = in_roles(&settings, &["api", "relay", "coupon-scheduler"]);
    let shop = waiting_room.start().await?;
    join_all(address(&shop)?, streams).await?;
    let before_mib = resident_mib(shop.pid())?;
    let begun = Instant::now();
    let open = open_all(options, address(&shop)?).await?;
    let opened_s = begun.elapsed().as_secs_f64();
    let open_mib = resident_mib(shop.pid())?;
    let begun = Instant::now();
    let consumer = settings.clone().arg("--role").arg("consumers=coupon-issue");
    let consumer = consumer.start().await?;
    let told_us = all_told(options, open).await?;
    let told_s = begun.elapsed().as_secs_f64();
    let after_mib = resident_mib(shop.pid())?;
    let since_issue = since_issue(&grounds, &settings, &told_us).await?;
    finish(&grounds, &settings, [shop, consumer]).await?;
    let load = format!("{streams} streams, each of a person who waits");
    let mut report = Report::new("event streams", load, Some(&mut grounds)).await?;
    report.figure("memory before the streams", "MiB", &[before_mib]);
    report.figure("memory while all are open", "MiB", &[open_mib]);
    let each = (open_mib - before_mib) * 1_024.0 / streams as f64;
    report.figure("memory a stream", "KiB", &[each]);
    report.figure("memory when all have been told", "MiB", &[after_mib]);
    report.figure("opening all", "s", &[opened_s]);
    report.figure("start of the consumer to the last one told", "s", &[told_s]);
    report.figure("issue to told, p50", "ms", &[since_issue.p50_ms]);
    report.figure("issue to told, p99", "ms", &[since_issue.p99_ms]);
    report.figure("issue to told, max", "ms", &[since_issue.max_ms]);
    report.check(format!(
        "{streams} streams told SUCCESS and ended, as many coupons stored, audit clean"
    ));
    Ok(report)
}

fn of_one_campaign(quota: u64) -> Seed {
    Seed {
        users: 1,
        products: 1,
        stock: 1,
        price: PRICE,
        balance: 1,
        coupons: 1,
        quota,
    }
}

/// Raises this process' limit, which those that it starts inherit.
fn raise_open_files(wanted: u64) -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure outlives the call.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    ensure!(read == 0, "the limit of open files cannot be read");
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    ensure!(
        limit.rlim_max >= wanted,
        "so many streams need {wanted} open files, and only {} are allowed (ulimit -Hn)",
        limit.rlim_max
    );
    limit.rlim_cur = wanted;
    // SAFETY: the structure outlives the call.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    ensure!(
        set == 0,
        "the limit of open files cannot be raised to {wanted}"
    );
    Ok(())
}

async fn join_all(address: SocketAddr, people: u64) -> Result<()> {
    let load = Load {
        addresses: vec![address],
        connections: OPENING,
        threads: 1,
        pace: Pace::Counted { requests: people },
    };
    let tally = load.run(1, &joins(1, Arc::new(AtomicU64::new(1)))).await?;
    let run = Run::of(&tally, &[JOIN], true);
    ensure!(
        run.done == people,
        "of {people} joins {} were accepted",
        run.done
    );
    Ok(())
}

/// Streams that are open, each a task that ends with its user and when it was told.
struct Open {
    tasks: JoinSet<Result<(u64, u64)>>,
}

/// Returns when each stream has told its person that it waits.
async fn open_all(options: &Options, address: SocketAddr) -> Result<Open> {
    let waiting = Arc::new(AtomicU64::new(0));
    let gate = Arc::new(Semaphore::new(OPENING));
    let mut tasks = JoinSet::new();
    for user in 1..=options.streams {
        tasks.spawn(follow(address, user, gate.clone(), waiting.clone()));
    }
    let begun = Instant::now();
    while waiting.load(Ordering::Relaxed) < options.streams {
        if let Some(ended) = tasks.try_join_next() {
            let (user, _) = ended??;
            bail!("user {user} was told a result while nothing issues coupons");
        }
        ensure!(
            begun.elapsed().as_secs() < options.wait_max_seconds,
            "after {} s {} of {} streams are open",
            options.wait_max_seconds,
            waiting.load(Ordering::Relaxed),
            options.streams
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(Open { tasks })
}

async fn follow(
    address: SocketAddr,
    user: u64,
    gate: Arc<Semaphore>,
    waiting: Arc<AtomicU64>,
) -> Result<(u64, u64)> {
    let permit = gate.acquire_owned().await?;
    let mut connection = Connection::open(address).await?;
    let mut request = Request::default();
    stream(&mut request, 1, user);
    let head = connection.begin(request.bytes()).await?;
    ensure!(head.status == 200, "a stream was answered {}", head.status);
    let mut permit = Some(permit);
    let mut heard = String::new();
    loop {
        let chunk = connection.chunk().await?;
        ensure!(
            !chunk.is_empty(),
            "the stream of user {user} ended without a result"
        );
        heard.push_str(std::str::from_utf8(&chunk)?);
        if heard.contains("\"SUCCESS\"") {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            return Ok((user, u64::try_from(now.as_micros())?));
        }
        ensure!(
            !heard.contains("\"FAILED\""),
            "user {user} was told {heard}"
        );
        if heard.contains("\"PROCESSING\"") && permit.take().is_some() {
            waiting.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// By user, when it was told, in microseconds since 1970.
async fn all_told(options: &Options, mut open: Open) -> Result<HashMap<u64, u64>> {
    let most = Duration::from_secs(options.wait_max_seconds);
    let told = async {
        let mut told = HashMap::new();
        while let Some(one) = open.tasks.join_next().await {
            let (user, at) = one??;
            told.insert(user, at);
        }
        Ok(told)
    };
    let told = tokio::time::timeout(most, told).await;
    told.with_context(|| format!("not everybody has been told after {most:?}"))?
}

/// Both clocks are this machine's. The issue's is read before its transaction commits.
async fn since_issue(
    grounds: &Grounds,
    settings: &testkit::ShopSettings,
    told_us: &HashMap<u64, u64>,
) -> Result<Latency> {
    let select = "SELECT user_id, issued_us FROM user_coupons";
    let rows = grounds.sql(settings, select).await?.unwrap_or_default();
    let mut since = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3)?;
    for row in rows.lines() {
        let (user, issued) = row.split_once('\t').context("a row of two columns")?;
        let (user, issued): (u64, u64) = (user.parse()?, issued.parse()?);
        let told = told_us
            .get(&user)
            .with_context(|| format!("user {user} holds a coupon and was not told"))?;
        since.saturating_record(told.saturating_sub(issued).max(1));
    }
    ensure!(
        since.len() == told_us.len() as u64,
        "{} were told SUCCESS and {} coupons are stored",
        told_us.len(),
        since.len()
    );
    Ok(Latency::of(&since))
}

async fn finish(
    grounds: &Grounds,
    settings: &testkit::ShopSettings,
    shops: [ShopProcess; 2],
) -> Result<()> {
    grounds.caught_up(&shops).await?;
    grounds.audit(settings).await
}
