//! Runs a load on one side, or alternately on two, and holds what came back against what the shops say they did.
//! Most scenarios are a `Work` that is handed to it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::traffic::{JOIN, ORDER};
use crate::load::{Heard, Kind, Load, Next, Pace, Tally};
use crate::options::{Drive, Effort, Rivalry};
use crate::processor::used;
use crate::report::{Report, Run};
use crate::stage::{Behind, Grounds, Metrics, Seed, Side, Stage};

/// A load and what must have come of it.
pub struct Work {
    pub name: String,
    pub kinds: Vec<Kind>,
    /// Only the first kind is the figure.
    pub first_only: bool,
    pub seed: Seed,
    /// Sent on each side before anything is measured, and caught up with.
    pub first: Option<First>,
    /// The requests of a run (0 is the warm-up) on a side. Called once for each.
    pub traffic: Box<dyn Fn(usize, usize) -> Next>,
    pub proofs: Vec<Proof>,
}

/// So many requests of the kinds of the work.
pub struct First {
    pub requests: u64,
    pub traffic: Box<dyn Fn() -> Next>,
}

/// What the stores must hold afterwards, beside a clean audit.
#[derive(Clone, Copy)]
pub enum Proof {
    /// As many orders as there were 201s.
    Orders,
    /// As many coupons as joins were accepted, but no more than each campaign's quota.
    Coupons { quota: u64 },
}

/// All that was answered on one side, warm-up among it.
#[derive(Default)]
pub struct Answered {
    /// By method and route as the shop names them, and status.
    statuses: BTreeMap<(&'static str, &'static str, u16), u64>,
    /// Accepted in each run, which is a campaign where joins are measured.
    joined: Vec<u64>,
}

impl Answered {
    pub fn add(&mut self, kinds: &[Kind], tally: &Tally) {
        let mut joined = 0;
        for (kind, of) in kinds.iter().zip(&tally.kinds) {
            for (status, count) in &of.statuses {
                let key = (kind.method, kind.route, *status);
                *self.statuses.entry(key).or_default() += count;
            }
            if kind.route == JOIN.route {
                joined += of.of(201) + of.of(202);
            }
        }
        self.joined.push(joined);
    }

    /// Of all requests to that route.
    pub fn of(&self, route: &str, status: u16) -> u64 {
        let all = self.statuses.iter();
        all.filter(|((_, at, it), _)| *at == route && *it == status)
            .map(|(_, count)| count)
            .sum()
    }
}

pub async fn contest(work: &Work, drive: &Drive, rivalry: &Rivalry) -> Result<Report> {
    let stage = Stage::set(drive, rivalry, &work.seed).await?;
    contest_on(work, drive, stage)
        .await
        .map(|(report, _)| report)
}

/// Ends the shops and hands the services back, for the next ones.
pub async fn contest_on(
    work: &Work,
    drive: &Drive,
    mut stage: Stage,
) -> Result<(Report, Option<Grounds>)> {
    ensure!(drive.runs >= 1, "--runs must be at least 1");
    let (sides, checks) = compete(work, drive, &stage).await?;
    let load = described(&drive.effort, drive.rate, drive.runs);
    let mut report = Report::new(&work.name, load, stage.grounds.as_mut()).await?;
    for (side, runs) in stage.sides.iter().zip(sides) {
        report.side(&side.name, runs);
    }
    report.checks = checks;
    Ok((report, stage.grounds.take()))
}

/// Warm-up and runs, the sides in turn; the runs of each side, and what held.
pub async fn compete(
    work: &Work,
    drive: &Drive,
    stage: &Stage,
) -> Result<(Vec<Vec<Run>>, Vec<String>)> {
    let mut runs: Vec<Vec<Run>> = stage.sides.iter().map(|_| Vec::new()).collect();
    let mut answered: Vec<Answered> = stage.sides.iter().map(|_| Answered::default()).collect();
    let mut before = Vec::new();
    for (i, side) in stage.sides.iter().enumerate() {
        before.push(side.metrics().await?);
        if let Some(first) = &work.first {
            let tally = prepared(first, work, &drive.effort, side).await?;
            answered[i].add(&work.kinds, &tally);
            stage.caught_up(side).await?;
        }
    }
    for number in 0..=drive.runs {
        for (i, side) in stage.sides.iter().enumerate() {
            let seconds = match number {
                0 => drive.effort.warm_up_seconds,
                _ => drive.effort.seconds,
            };
            if seconds == 0 {
                answered[i].joined.push(0);
                continue;
            }
            let load = drive
                .effort
                .load(side.addresses.clone(), drive.rate, seconds)?;
            let next = (work.traffic)(number, i);
            let (mut run, tally) = measured(work, stage.grounds.as_ref(), side, &load, &next, None)
                .await
                .with_context(|| side.name.clone())?;
            answered[i].add(&work.kinds, &tally);
            if number > 0 {
                run.caught_up(stage.caught_up(side).await?);
                runs[i].push(run);
            } else {
                stage.caught_up(side).await?;
            }
        }
    }
    let mut checks = Vec::new();
    for (i, side) in stage.sides.iter().enumerate() {
        // A shop in an open loop may say that it is overloaded; that is counted and shown.
        if drive.rate.is_none() {
            for run in &runs[i] {
                ensure!(run.other == 0, "{}: {}", side.name, run.text());
            }
        }
        let all_done = runs[i].iter().all(|run| run.done > 0);
        ensure!(all_done, "{}: nothing was done in a run", side.name);
        let proofs = (&work.proofs[..], before[i].as_ref());
        checks.extend(proven(stage, side, &answered[i], proofs).await?);
    }
    Ok((runs, checks))
}

async fn prepared(first: &First, work: &Work, effort: &Effort, side: &Side) -> Result<Tally> {
    let mut load = effort.load(side.addresses.clone(), None, 0)?;
    load.pace = Pace::Counted {
        requests: first.requests,
    };
    let tally = load.run(work.kinds.len(), &(first.traffic)()).await?;
    let run = Run::of(&tally, &work.kinds, false);
    ensure!(
        run.other == 0,
        "{}, before the load: {}",
        side.name,
        run.text()
    );
    Ok(tally)
}

/// One run with the processor time of all who had a part in it.
pub async fn measured(
    work: &Work,
    grounds: Option<&Grounds>,
    side: &Side,
    load: &Load,
    next: &Next,
    heard: Option<Heard>,
) -> Result<(Run, Tally)> {
    let meter = match (&side.own, grounds) {
        (Some(own), Some(grounds)) => grounds.meter(&own.shops),
        _ => crate::processor::Meter::default(),
    };
    let told = side.metrics().await?;
    let before = meter.read();
    let tally = load.run_heard(work.kinds.len(), next, heard).await?;
    let after = meter.read();
    let mut run = Run::of(&tally, &work.kinds, work.first_only);
    let (answers, seconds) = (Run::answers(&tally), tally.took.as_secs_f64());
    run.processor = meter.used(&before, &after, answers, seconds);
    let generator = used("generator", tally.generator_us, answers, seconds);
    run.processor.push(generator);
    run.behind = side.metrics().await?.map(|now| Behind {
        event_delay_p99_at_most_s: told.and_then(|before| now.event_delay_p99(&before)),
        ..now.behind()
    });
    Ok((run, tally))
}

/// Holds the answers against the shop's own counts, the stores and the audit; says what held.
pub async fn proven(
    stage: &Stage,
    side: &Side,
    answered: &Answered,
    (proofs, before): (&[Proof], Option<&Metrics>),
) -> Result<Vec<String>> {
    let (Some(own), Some(grounds), Some(before)) = (&side.own, &stage.grounds, before) else {
        return Ok(vec![format!(
            "{}: statuses only, it is not ours",
            side.name
        )]);
    };
    let after = side.metrics().await?.context("a shop of ours")?;
    counted(answered, before, &after).with_context(|| side.name.clone())?;
    let mut checks = vec![format!("{}: /metrics count the answers alike", side.name)];
    for proof in proofs {
        let (table, expected) = match proof {
            Proof::Orders => ("orders", answered.of(ORDER.route, 201)),
            Proof::Coupons { quota } => (
                "user_coupons",
                answered.joined.iter().map(|it| (*it).min(*quota)).sum(),
            ),
        };
        let select = format!("SELECT COUNT(*) FROM {table}");
        let Some(found) = grounds.number(&own.settings, &select).await? else {
            continue;
        };
        ensure!(
            found == expected,
            "{}: {expected} were answered and {found} stand in {table}",
            side.name
        );
        checks.push(format!("{}: {found} in {table}, as answered", side.name));
    }
    if stage.audit(side).await? {
        checks.push(format!("{}: audit clean", side.name));
    }
    Ok(checks)
}

/// Every answer that came is one that the shop counted, and the other way round.
pub fn counted(answered: &Answered, before: &Metrics, after: &Metrics) -> Result<()> {
    for ((method, route, status), came) in &answered.statuses {
        if *status == 0 {
            continue;
        }
        let code = status.to_string();
        let labels = [
            ("method", *method),
            ("route", *route),
            ("status", code.as_str()),
        ];
        let name = "madang_http_requests_total";
        let told = after.sum(name, &labels) - before.sum(name, &labels);
        ensure!(
            (told - *came as f64).abs() < 0.5,
            "{method} {route}: {came} answers {status} came, the shop counts {told}"
        );
    }
    Ok(())
}

pub fn described(effort: &Effort, rate: Option<f64>, runs: usize) -> String {
    let how = rate.map_or_else(
        || "closed loop".to_owned(),
        |rate| format!("open loop at {rate}/s"),
    );
    format!(
        "{how}, {} connections, {runs} run(s) of {} after {} of warm-up, generator on {} thread(s)",
        effort.connections,
        text(effort.seconds),
        text(effort.warm_up_seconds),
        effort.threads
    )
}

fn text(seconds: u64) -> String {
    format!("{:?}", Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_the_shop_does_not_know_is_found() {
        let mut tally = Tally::new(1).unwrap();
        tally.count(0, 201, Duration::from_millis(1));
        tally.count(0, 201, Duration::from_millis(1));
        let mut answered = Answered::default();
        answered.add(&[ORDER], &tally);
        let told = |count| {
            Metrics::parse(&format!(
                "madang_http_requests_total{{method=\"POST\",route=\"/api/orders\",status=\"201\"}} {count}"
            ))
        };
        assert!(counted(&answered, &told(3), &told(5)).is_ok());
        assert!(counted(&answered, &told(3), &told(4)).is_err());
        assert_eq!(answered.of(ORDER.route, 201), 2);
    }
}
