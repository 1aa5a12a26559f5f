//! A flash sale: many ask for few coupons at once, then everybody who got a place asks until the answer is final.
//! The winners must be exactly the first places, and who was too late must have been told that it is sold out.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use tokio::task::JoinSet;

use super::contest::{Answered, Work, counted, measured};
use super::steps::{CLAIM, told};
use super::traffic::{JOIN, PRICE, joins, poll};
use crate::load::{Connection, Heard, Load, Pace, Request};
use crate::options::{Drive, Effort, Ours, Rivalry};
use crate::report::{Report, Run};
use crate::stage::{Seed, Stage};

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub ours: Ours,
    /// Start the shop on its embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long)]
    embedded: bool,
    /// Shoppers, each of whom asks once.
    #[arg(long, default_value_t = 100_000)]
    joiners: u64,
    /// Coupons.
    #[arg(long, default_value_t = 10_000)]
    quota: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Sales, each of a campaign of its own.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// After so long without a final answer a shopper asks again.
    #[arg(long, default_value_t = 100)]
    poll_ms: u64,
    /// The longest that final answers may take after the last join.
    #[arg(long, default_value_t = 120)]
    final_max_seconds: u64,
}

/// Who was given a place.
struct Placed {
    user: u64,
    place: u64,
}

/// What the joins were told.
#[derive(Default)]
struct Told {
    placed: Vec<Placed>,
    sold_out: u64,
    /// What else was said, once.
    other: Option<String>,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.runs >= 1 && options.quota >= 1 && options.joiners >= 1,
        "--runs, --quota and --joiners must be at least 1"
    );
    let effort = Effort {
        connections: options.connections,
        threads: options.threads,
        seconds: 0,
        warm_up_seconds: 0,
    };
    let mut drive = Drive::closed(&options.ours, &effort, options.runs);
    drive.embedded = options.embedded;
    let work = work(options);
    let mut stage = Stage::set(&drive, &Rivalry::default(), &work.seed).await?;
    let side = &stage.sides[0];
    let before = side.metrics().await?.context("a shop of ours")?;
    let mut load = effort.load(side.addresses.clone(), None, 0)?;
    load.pace = Pace::Counted {
        requests: options.joiners,
    };
    let mut answered = Answered::default();
    let (mut runs, mut final_after_s, mut all_after_s) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..options.runs {
        let begun = Instant::now();
        let (mut run, placed) =
            sale(options, &work, &stage, (&load, number), &mut answered).await?;
        let ended = Instant::now();
        let winners = settle(options, side.addresses[0], number as u64 + 1, placed).await?;
        final_after_s.push(ended.elapsed().as_secs_f64());
        all_after_s.push(begun.elapsed().as_secs_f64());
        exactly_the_first(winners, options.quota.min(options.joiners))?;
        run.caught_up(stage.caught_up(side).await?);
        runs.push(run);
    }
    counted(
        &answered,
        &before,
        &side.metrics().await?.context("a shop of ours")?,
    )?;
    stage.audit(side).await?;
    let load = format!(
        "{} shoppers for {} coupons, {} connections, {} sale(s)",
        options.joiners, options.quota, options.connections, options.runs
    );
    let mut report = Report::new("flash sale", load, stage.grounds.as_mut()).await?;
    report.side("ours", runs);
    report.figure("last join to last final answer", "s", &final_after_s);
    report.figure("first join to last final answer", "s", &all_after_s);
    report.check(format!(
        "winners are exactly places 1 to {}, all others were told coupon-sold-out, audit clean",
        options.quota.min(options.joiners)
    ));
    Ok(report)
}

fn work(options: &Options) -> Work {
    Work {
        name: "flash sale".to_owned(),
        kinds: vec![CLAIM],
        first_only: true,
        seed: Seed {
            users: 1,
            products: 1,
            stock: 1,
            price: PRICE,
            balance: 1,
            coupons: options.runs as u64,
            quota: options.quota,
        },
        first: None,
        traffic: Box::new(|run, _| joins(run as u64 + 1, Arc::new(1.into()))),
        proofs: Vec::new(),
    }
}

/// Everybody joins once; who got a place.
async fn sale(
    options: &Options,
    work: &Work,
    stage: &Stage,
    (load, number): (&Load, usize),
    answered: &mut Answered,
) -> Result<(Run, Vec<Placed>)> {
    let said = Arc::new(Mutex::new(Told::default()));
    let hears = said.clone();
    let heard: Heard = Arc::new(move |_, status, body| {
        let mut said = hears.lock().unwrap_or_else(PoisonError::into_inner);
        match (status, placed(body)) {
            (202, Some(placed)) => said.placed.push(placed),
            (409, _) if told(body, "coupon-sold-out") => said.sold_out += 1,
            _ => said.other = Some(format!("{status} {}", String::from_utf8_lossy(body))),
        }
    });
    let next = (work.traffic)(number, 0);
    let side = &stage.sides[0];
    let (run, tally) =
        measured(work, stage.grounds.as_ref(), side, load, &next, Some(heard)).await?;
    answered.add(&[JOIN], &tally);
    let told = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(other) = told.other {
        bail!("a join was answered {other}");
    }
    let places = told.placed.len() as u64;
    ensure!(
        places + told.sold_out == options.joiners,
        "of {} shoppers {places} were given a place and {} told that it is sold out",
        options.joiners,
        told.sold_out
    );
    Ok((run, told.placed))
}

/// The status address names the user.
fn placed(body: &[u8]) -> Option<Placed> {
    let told: Value = serde_json::from_slice(body).ok()?;
    let (_, user) = told["statusUrl"].as_str()?.split_once("userId=")?;
    Some(Placed {
        user: user.parse().ok()?,
        place: told["queuePosition"].as_u64()?,
    })
}

/// Everybody with a place asks until the answer is final; the places that won.
async fn settle(
    options: &Options,
    address: SocketAddr,
    coupon: u64,
    placed: Vec<Placed>,
) -> Result<Vec<u64>> {
    let askers = options.connections.min(placed.len()).max(1);
    let mut shares: Vec<Vec<Placed>> = (0..askers).map(|_| Vec::new()).collect();
    for (i, placed) in placed.into_iter().enumerate() {
        shares[i % askers].push(placed);
    }
    let every = Duration::from_millis(options.poll_ms);
    let most = Duration::from_secs(options.final_max_seconds);
    let mut tasks = JoinSet::new();
    for share in shares {
        tasks.spawn(async move {
            let asked = ask_all(address, coupon, share, every);
            let asked = tokio::time::timeout(most, asked).await;
            asked.with_context(|| format!("not all answers are final after {most:?}"))?
        });
    }
    let mut winners = Vec::new();
    while let Some(won) = tasks.join_next().await {
        winners.extend(won??);
    }
    Ok(winners)
}

async fn ask_all(
    address: SocketAddr,
    coupon: u64,
    mut waiting: Vec<Placed>,
    every: Duration,
) -> Result<Vec<u64>> {
    let mut connection = Connection::open(address).await?;
    let mut request = Request::default();
    let mut won = Vec::new();
    let mut rounds = tokio::time::interval(every.max(Duration::from_millis(1)));
    while !waiting.is_empty() {
        rounds.tick().await;
        let mut still = Vec::new();
        for placed in waiting {
            poll(&mut request, coupon, placed.user);
            let answer = connection.ask(request.bytes()).await?;
            ensure!(
                answer.status == 200,
                "a status poll was answered {}",
                answer.status
            );
            let told: Value = serde_json::from_slice(answer.body)?;
            match told["status"].as_str() {
                Some("PROCESSING") => still.push(placed),
                Some("SUCCESS") => won.push(placed.place),
                _ => ensure!(
                    told["code"] == "coupon-sold-out",
                    "place {} failed: {told}",
                    placed.place
                ),
            }
        }
        waiting = still;
    }
    Ok(won)
}

fn exactly_the_first(mut winners: Vec<u64>, most: u64) -> Result<()> {
    winners.sort_unstable();
    let right = winners.len() as u64 == most && winners.iter().copied().eq(1..=most);
    ensure!(
        right,
        "the winners are not exactly places 1 to {most}: {} of them, from {:?} to {:?}",
        winners.len(),
        winners.first(),
        winners.last()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_who_was_placed_where() {
        let body = br#"{"queuePosition":3,"statusUrl":"/api/coupons/1/issue/status?userId=7"}"#;
        let placed = placed(body).unwrap();
        assert_eq!((placed.user, placed.place), (7, 3));
        assert!(super::placed(b"{}").is_none());
    }

    #[test]
    fn a_gap_or_one_too_many_among_the_winners_is_found() {
        assert!(exactly_the_first(vec![2, 1, 3], 3).is_ok());
        for winners in [vec![1, 3], vec![1, 2, 4], vec![1, 2, 3, 4], vec![1, 2, 2]] {
            assert!(
                exactly_the_first(winners.clone(), 3).is_err(),
                "{winners:?}"
            );
        }
    }
}
