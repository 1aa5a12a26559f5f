//! What a scenario says at its end: each run, the median, the machine, and whether the work was real.
//! Text for people, JSON for machines.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::Drive;
use crate::load::Tally;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub per_second: f64,
    pub done: u64,
    /// Answers of any other status, broken connections among them.
    pub other: u64,
    pub statuses: std::collections::BTreeMap<u16, u64>,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Age of the outbox's oldest row when the load ended; none where the shop does not say.
    pub oldest_outbox_age_s: Option<f64>,
    /// From the end of the load until outbox and consumers had nothing left.
    pub caught_up_after_s: f64,
}

impl Run {
    pub fn of(
        tally: &Tally,
        expected: u16,
        oldest_outbox_age_s: Option<f64>,
        caught_up: Duration,
    ) -> Result<Self> {
        let done = tally.of(expected);
        let ms = |quantile| tally.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Ok(Self {
            per_second: done as f64 / tally.took.as_secs_f64(),
            done,
            other: tally.all() - done,
            statuses: tally.statuses.clone(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            max_ms: tally.latency_us.max() as f64 / 1_000.0,
            oldest_outbox_age_s,
            caught_up_after_s: caught_up.as_secs_f64(),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    scenario: String,
    on: String,
    cores: usize,
    connections: usize,
    seconds: u64,
    runs: Vec<Run>,
    median_per_second: f64,
    median_p99_ms: f64,
    /// The shop's own audit after the runs; none when it was not started by this program.
    audit_clean: Option<bool>,
    #[serde(skip)]
    json: bool,
}

impl Report {
    pub fn new(
        scenario: String,
        how: &Drive,
        on: String,
        runs: Vec<Run>,
        audit_clean: Option<bool>,
    ) -> Result<Self> {
        let median_of = |figure: fn(&Run) -> f64| {
            let mut all: Vec<f64> = runs.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().context("no run")
        };
        Ok(Self {
            scenario,
            on,
            cores: std::thread::available_parallelism()?.get(),
            connections: how.connections,
            seconds: how.seconds,
            median_per_second: median_of(|r| r.per_second)?,
            median_p99_ms: median_of(|r| r.p99_ms)?,
            runs,
            audit_clean,
            json: how.json,
        })
    }

    /// Something was done in every run and the audit, where there was one, found nothing.
    pub fn is_sound(&self) -> bool {
        self.runs.iter().all(|r| r.done > 0) && self.audit_clean != Some(false)
    }

    pub fn print(&self) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        println!("{} on {}", self.scenario, self.on);
        println!(
            "{} cores for everything, {} connections, {} s a run",
            self.cores, self.connections, self.seconds
        );
        for run in &self.runs {
            println!(
                "  {:>8.0}/s  p50 {:>7.2} ms  p99 {:>7.2} ms  max {:>8.2} ms  other answers {}  outbox behind {}  drained and audited after {:.1} s",
                run.per_second,
                run.p50_ms,
                run.p99_ms,
                run.max_ms,
                run.other,
                run.oldest_outbox_age_s
                    .map_or("unknown".to_owned(), |s| format!("{s:.2} s")),
                run.caught_up_after_s,
            );
        }
        println!(
            "median {:.0}/s, p99 {:.2} ms; audit {}",
            self.median_per_second,
            self.median_p99_ms,
            match self.audit_clean {
                Some(true) => "clean",
                Some(false) => "FOUND DIFFERENCES",
                None => "not run (the shop is not this program's own)",
            }
        );
        Ok(())
    }
}
