//! What a scenario says at its end: on what it was measured, each run, the median and its spread, and what was checked.
//! Text for people, JSON for machines and for `charts`. A report is made only after its checks have passed.

mod run;
mod spread;

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

pub use run::{Latency, Run};
pub use spread::Spread;

use crate::machine::{Facts, Machine, facts};
use crate::stage::Grounds;

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub scenario: String,
    pub on: String,
    /// How it was driven.
    pub load: String,
    pub machine: Machine,
    pub versions: Facts,
    pub durability: Facts,
    pub sides: Vec<SideReport>,
    /// Of the first side to the second, run by run; where there are two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RatePoint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// What held, in words.
    pub checks: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SideReport {
    pub name: String,
    pub per_second: Spread,
    pub p50_ms: Spread,
    pub p99_ms: Spread,
    pub runs: Vec<Run>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ratio {
    pub per_second: Spread,
    pub p50: Spread,
    pub p99: Spread,
}

/// One measured thing that is no load of its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub value: Spread,
    pub measured: Vec<f64>,
}

/// Latency at one offered rate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RatePoint {
    pub side: String,
    pub offered_per_second: f64,
    pub answered_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub other: u64,
    pub unsent: u64,
    /// The shop answered what was offered.
    pub kept: bool,
}

/// Of a long run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    pub at_s: f64,
    pub resident_mib: f64,
}

impl Report {
    pub async fn new(
        scenario: impl Into<String>,
        load: impl Into<String>,
        grounds: Option<&mut Grounds>,
    ) -> Result<Report> {
        let mut report = Report {
            scenario: scenario.into(),
            load: load.into(),
            machine: Machine::read()?,
            ..Report::default()
        };
        match grounds {
            Some(grounds) => {
                grounds.describe().clone_into(&mut report.on);
                (report.versions, report.durability) = facts(grounds).await?;
            }
            None => "addresses that were given, seeded by their owners".clone_into(&mut report.on),
        }
        Ok(report)
    }

    pub fn side(&mut self, name: &str, runs: Vec<Run>) {
        let of = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
        self.sides.push(SideReport {
            name: name.to_owned(),
            per_second: of(|run| run.per_second),
            p50_ms: of(|run| run.latency.p50_ms),
            p99_ms: of(|run| run.latency.p99_ms),
            runs,
        });
        if let [first, second] = &self.sides[..] {
            self.ratio = Some(ratio(&first.runs, &second.runs));
        }
    }

    pub fn figure(&mut self, name: impl Into<String>, unit: &'static str, measured: &[f64]) {
        self.figures.push(Figure {
            name: name.into(),
            unit,
            value: Spread::of(measured.iter().copied()),
            measured: measured.to_vec(),
        });
    }

    pub fn check(&mut self, held: impl Into<String>) {
        self.checks.push(held.into());
    }

    pub fn print(&self, json: bool) -> Result<()> {
        let text = if json {
            serde_json::to_string_pretty(self)?
        } else {
            self.text()
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }

    fn text(&self) -> String {
        let mut lines = vec![
            self.scenario.clone(),
            format!("  on {}; {}", self.on, self.machine.text()),
        ];
        for (name, facts) in [
            ("versions", &self.versions),
            ("durability", &self.durability),
        ] {
            if !facts.is_empty() {
                let facts: Vec<String> = facts.iter().map(|(n, v)| format!("{n} {v}")).collect();
                lines.push(format!("  {name}: {}", facts.join("; ")));
            }
        }
        lines.push(format!("  {}", self.load));
        for side in &self.sides {
            lines.extend(side.lines());
        }
        if let Some(ratio) = &self.ratio {
            lines.push(format!(
                "  {} to {}, run by run: throughput x{}, p50 x{}, p99 x{}",
                self.sides[0].name,
                self.sides[1].name,
                ratio.per_second.text(),
                ratio.p50.text(),
                ratio.p99.text()
            ));
        }
        for it in &self.figures {
            lines.push(format!("  {:<58} {} {}", it.name, it.value.text(), it.unit));
        }
        for it in &self.rates {
            lines.push(it.text());
        }
        for it in &self.samples {
            lines.push(format!(
                "  after {:>6.0} s  {:>8.1} MiB",
                it.at_s, it.resident_mib
            ));
        }
        for held in &self.checks {
            lines.push(format!("  checked: {held}"));
        }
        lines.join("\n")
    }
}

impl SideReport {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("  {}", self.name)];
        for run in &self.runs {
            lines.push(format!("    {}", run.text()));
            let used: Vec<String> = run
                .processor
                .iter()
                .map(|it| format!("{} {:.1} ({:.2})", it.process, it.us_per_request, it.cores))
                .collect();
            if !used.is_empty() {
                lines.push(format!(
                    "        processor, µs a request (cores): {}",
                    used.join("  ")
                ));
            }
            if let Some(behind) = &run.behind {
                let caught_up = run
                    .caught_up_after_s
                    .map_or("not waited for".to_owned(), |s| {
                        format!("caught up after {s:.1} s")
                    });
                lines.push(format!(
                    "        at its end: {}; {caught_up}",
                    behind.text()
                ));
            }
        }
        lines.push(format!(
            "    median {}/s, p50 {} ms, p99 {} ms",
            self.per_second.text(),
            self.p50_ms.text(),
            self.p99_ms.text()
        ));
        lines
    }
}

impl RatePoint {
    fn text(&self) -> String {
        format!(
            "  {:<10} offered {:>7.0}/s  answered {:>7.0}/s  p50 {:>8.2}  p99 {:>8.2}  max {:>8.1} ms  other {}  never sent {}{}",
            self.side,
            self.offered_per_second,
            self.answered_per_second,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.other,
            self.unsent,
            if self.kept { "" } else { "  NOT KEPT" }
        )
    }
}

/// Run by run, because two runs one after the other share the machine's mood.
pub fn ratio(first: &[Run], second: &[Run]) -> Ratio {
    let of = |figure: fn(&Run) -> f64| {
        let pairs = first.iter().zip(second);
        Spread::of(pairs.map(|(a, b)| figure(a) / figure(b).max(1e-9)))
    };
    Ratio {
        per_second: of(|run| run.per_second),
        p50: of(|run| run.latency.p50_ms),
        p99: of(|run| run.latency.p99_ms),
    }
}
