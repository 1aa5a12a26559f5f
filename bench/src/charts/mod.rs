//! Pictures of reports: throughput as bars, latency percentiles, latency under rising load; SVG files to be put into documents.
//! It measures nothing and changes no figure. Called with the JSON that scenarios printed.

mod draw;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;

use crate::report::Spread;

#[derive(Args, Clone)]
pub struct Options {
    /// Reports that scenarios printed with --json.
    #[arg(long, required = true, num_args = 1.., value_name = "REPORT.JSON")]
    from: Vec<PathBuf>,
    /// The folder for the pictures; it is made where it is missing.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

/// What pictures need of a report.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    scenario: String,
    sides: Vec<Side>,
    #[serde(default)]
    rates: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    name: String,
    per_second: Spread,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    latency: Latency,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Latency {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p99_9_ms: f64,
    max_ms: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    side: String,
    offered_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// A bar: what, how much, and between what the runs lay.
struct Bar {
    label: String,
    value: Spread,
}

/// A line: its name and its points.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

pub fn run(options: &Options) -> Result<()> {
    let mut reports = Vec::new();
    for path in &options.from {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let report: Report = serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of a scenario", path.display()))?;
        let name = path.file_stem().map(|it| it.to_string_lossy().into_owned());
        reports.push((name.unwrap_or_default(), report));
    }
    let drawn = pictures(&reports, &options.to)?;
    ensure!(
        !drawn.is_empty(),
        "none of these reports holds a load: there is nothing to draw"
    );
    for path in drawn {
        writeln!(std::io::stdout(), "{}", path.display())?;
    }
    Ok(())
}

/// Draws what there is to draw; the files that were written.
fn pictures(reports: &[(String, Report)], to: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    let mut drawn = Vec::new();
    let bars = bars(reports);
    if !bars.is_empty() {
        let path = to.join("throughput.svg");
        draw::bars(&path, "Answers a second (median, least to most)", &bars)?;
        drawn.push(path);
    }
    for (name, report) in reports {
        if !report.sides.is_empty() {
            let path = to.join(format!("latency-{name}.svg"));
            draw::percentiles(&path, &report.scenario, &percentiles(report))?;
            drawn.push(path);
        }
        if !report.rates.is_empty() {
            let path = to.join(format!("rates-{name}.svg"));
            draw::rates(&path, &report.scenario, &rates(report))?;
            drawn.push(path);
        }
    }
    Ok(drawn)
}

fn bars(reports: &[(String, Report)]) -> Vec<Bar> {
    let of = |(name, report): &(String, Report)| -> Vec<Bar> {
        let bar = |side: &Side| Bar {
            label: format!("{name}: {}", side.name),
            value: side.per_second,
        };
        report.sides.iter().map(bar).collect()
    };
    reports.iter().flat_map(of).collect()
}

/// The median of the runs at each percentile.
fn percentiles(report: &Report) -> Vec<Line> {
    let figures: [fn(&Latency) -> f64; 5] = [
        |it| it.p50_ms,
        |it| it.p90_ms,
        |it| it.p99_ms,
        |it| it.p99_9_ms,
        |it| it.max_ms,
    ];
    let line = |side: &Side| Line {
        name: side.name.clone(),
        points: figures
            .iter()
            .enumerate()
            .map(|(i, figure)| {
                let of_runs = side.runs.iter().map(|run| figure(&run.latency));
                (i as f64, Spread::of(of_runs).median)
            })
            .collect(),
    };
    report.sides.iter().map(line).collect()
}

fn rates(report: &Report) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for point in &report.rates {
        for (what, ms) in [("p50", point.p50_ms), ("p99", point.p99_ms)] {
            let name = format!("{} {what}", point.side);
            let at = (point.offered_per_second, ms);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(at),
                None => lines.push(Line {
                    name,
                    points: vec![at],
                }),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Kind, Tally};
    use crate::report::{RatePoint, Report as Made, Run as MadeRun};
    use std::time::Duration;

    /// As a scenario makes it, and through JSON, so that the two cannot part.
    fn made() -> Report {
        let kind = Kind {
            name: "orders",
            method: "POST",
            route: "/api/orders",
            expected: &[201],
        };
        let mut tally = Tally::new(1).unwrap();
        for ms in 1..=100 {
            tally.count(0, 201, Duration::from_millis(ms));
        }
        tally.took = Duration::from_secs(1);
        let mut report = Made {
            scenario: "orders <of> & a test".to_owned(),
            ..Made::default()
        };
        report.side("ours", vec![MadeRun::of(&tally, &[kind], true)]);
        for rate in [500.0, 1_000.0] {
            report.rates.push(RatePoint {
                side: "ours".to_owned(),
                offered_per_second: rate,
                answered_per_second: rate,
                p50_ms: 2.0,
                p99_ms: rate / 50.0,
                max_ms: 30.0,
                other: 0,
                unsent: 0,
                kept: true,
            });
        }
        serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap()
    }

    #[test]
    fn a_report_becomes_three_pictures() {
        let folder = testkit::Folder::new("charts").unwrap();
        let reports = [("orders".to_owned(), made())];
        let drawn = pictures(&reports, folder.path()).unwrap();
        let names: Vec<_> = drawn
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            names,
            ["throughput.svg", "latency-orders.svg", "rates-orders.svg"]
        );
        for path in drawn {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("<svg"), "{}", path.display());
            assert!(text.trim_end().ends_with("</svg>"), "{}", path.display());
            assert!(text.contains("ours"), "{}", path.display());
        }
    }

    #[test]
    fn lines_hold_what_the_report_says() {
        let report = made();
        let lines = percentiles(&report);
        assert_eq!(lines[0].points.len(), 5);
        assert!((lines[0].points[0].1 - 50.0).abs() < 1.0);
        let rates = rates(&report);
        assert_eq!(rates.len(), 2);
        assert_eq!(rates[1].points, [(500.0, 10.0), (1_000.0, 20.0)]);
    }

    #[test]
    fn a_report_without_a_load_draws_nothing() {
        let folder = testkit::Folder::new("charts").unwrap();
        let report = Report {
            scenario: String::new(),
            sides: Vec::new(),
            rates: Vec::new(),
        };
        let drawn = pictures(&[("start".to_owned(), report)], folder.path()).unwrap();
        assert!(drawn.is_empty());
    }
}
