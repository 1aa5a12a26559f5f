//! `cargo suite`: format, lints, all tests and the benchmark's guard, with MariaDB, Redis and Kafka started for them and taken down whatever happens.
//! It checks nothing itself: cargo and the tests do.
//! Called by developers and by `.ci/run`.

mod cargo;
mod install;
mod options;
mod tally;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use testkit::{Folder, Kafka, MariaDb, Redis, Services, jars, shared};
use tokio::signal::unix::{SignalKind, signal};

use cargo::Step;
use options::{Asked, Options};
use tally::Tally;

/// What a shell reports for a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    let interrupted = tokio::select! {
        ran = run(&options, &mut report) => {
            if let Err(error) = ran {
                report.problems.push(format!("{error:#}"));
            }
            false
        }
        () = interruption() => true,
    };
    // `run` is gone by now, and with it the services and whatever cargo was doing.
    report.print(interrupted)
}

async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let services = if options.embedded {
        report
            .not_run
            .push("everything on real services (--embedded)".to_owned());
        None
    } else {
        Some(services(report).await)
    };
    if options.only.is_none() {
        report.step(Step::format()).await?;
        report.step(Step::lints()).await?;
    }
    let folder = Folder::new("suite")?;
    let skipped = folder.join("skipped");
    report
        .tests(Step::tests(options), &services, &skipped)
        .await?;
    if let Some(services) = services.as_ref().filter(|_| options.only.is_none()) {
        guard(services, report).await?;
    }
    if services.is_some() && options.wants_secured() {
        if options.only.is_none() {
            report.step(Step::secured_lints()).await?;
        }
        let tests = Step::secured_tests(options);
        report.tests(tests, &services, &skipped).await?;
    }
    if options.wants_failpoints() {
        if options.only.is_none() {
            report.step(Step::failing_lints()).await?;
        }
        let tests = Step::failing_tests(options);
        report.tests(tests, &services, &skipped).await?;
    }
    report.skipped = skipped_tests(&std::fs::read_to_string(skipped).unwrap_or_default());
    Ok(())
}

/// It starts its own services, for its figures are worth nothing beside others' load.
async fn guard(services: &Services, report: &mut Report) -> Result<()> {
    if !services.all_started() {
        let lacking = "the benchmark's guard (it needs the programs of all three services here)";
        report.not_run.push(lacking.to_owned());
        return Ok(());
    }
    report.step(Step::programs()).await?;
    report.step(Step::guard()?).await
}

/// What can be had is had; what cannot is a note, and the tests that need it will say so themselves.
async fn services(report: &mut Report) -> Services {
    let not_run = &mut report.not_run;
    if let Err(error) = install::missing().await {
        not_run.push(format!("the installation of packages: {error:#}"));
    }
    eprintln!("suite: Kafka's jars");
    match tokio::task::spawn_blocking(jars::find_or_fetch).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => not_run.push(format!("the download of Kafka: {error:#}")),
        Err(error) => not_run.push(format!("the download of Kafka: {error}")),
    }
    eprintln!("suite: starting MariaDB, Redis and Kafka");
    let (mariadb, redis, kafka) = tokio::join!(
        given_or_started(MariaDb::from_env(), MariaDb::start()),
        given_or_started(Redis::from_env(), Redis::start()),
        given_or_started(Kafka::from_env(), Kafka::start()),
    );
    Services {
        mariadb: had("MariaDB", mariadb, not_run),
        redis: had("Redis", redis, not_run),
        kafka: had("Kafka", kafka, not_run),
    }
}

async fn given_or_started<T>(
    given: Option<T>,
    start: impl Future<Output = Result<T>>,
) -> Result<T> {
    match given {
        Some(given) => Ok(given),
        None => start.await,
    }
}

fn had<T>(name: &str, service: Result<T>, not_run: &mut Vec<String>) -> Option<T> {
    match service {
        Ok(service) => Some(service),
        Err(error) => {
            not_run.push(format!("{name}: {error:#}"));
            None
        }
    }
}

/// One entry a test, however many services it missed.
fn skipped_tests(lines: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    lines
        .lines()
        .filter(|line| seen.insert(line.split(" did NOT run").next().unwrap_or_default()))
        .filter_map(|line| line.split_once(' '))
        .map(|(_pid, text)| text.to_owned())
        .collect()
}

async fn interruption() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without handlers the signals end the process at once, and the kernel ends its children.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[derive(Default)]
struct Report {
    tally: Tally,
    skipped: Vec<String>,
    not_run: Vec<String>,
    problems: Vec<String>,
}

impl Report {
    async fn step(&mut self, step: Step) -> Result<()> {
        let name = step.name();
        if !step.run().await.with_context(|| name.clone())? {
            self.problems.push(format!("{name} failed"));
        }
        Ok(())
    }

    /// One of several calls of `cargo test`, all counted together.
    async fn tests(
        &mut self,
        mut step: Step,
        services: &Option<Services>,
        skipped: &Path,
    ) -> Result<()> {
        let name = step.name();
        step = step.env(shared::SKIPPED, skipped);
        match services {
            Some(services) => {
                for (name, value) in services.environment() {
                    step = step.env(name, value);
                }
            }
            None => step = step.env(shared::SERVICES, "off"),
        }
        if !step
            .run_counting(&mut self.tally)
            .await
            .with_context(|| name.clone())?
        {
            self.problems.push(format!("{name} failed"));
        }
        Ok(())
    }

    /// The last line is the summary, for programs; all before it is for people.
    fn print(mut self, interrupted: bool) -> ExitCode {
        let strict = std::env::var("CI").as_deref() == Ok("true");
        let asked_for = |note: &String| note.contains("--embedded");
        // A test that does not run returns early, and the harness calls that passed.
        let without_effect = self.skipped.len() as u64;
        let passed = self.tally.passed.saturating_sub(without_effect);
        if passed + self.tally.failed == 0 {
            self.problems.push("no test ran".to_owned());
        }
        if self.tally.failed > 0 {
            self.problems
                .push(format!("tests that failed: {}", self.tally.failed));
        }
        if strict && !self.not_run.iter().all(asked_for) {
            self.problems
                .push("parts did not run, and CI=true".to_owned());
        }
        println!();
        for failure in &self.tally.failures {
            println!("!!! FAILED: {}", failure.name);
            for line in &failure.said {
                println!("    {line}");
            }
        }
        for what in self.not_run.iter().chain(&self.skipped) {
            println!("!!! NOT RUN: {}", what.replace(" did NOT run", ""));
        }
        for problem in &self.problems {
            println!("!!! FAILED: {problem}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            passed,
            self.tally.failed,
            self.tally.ignored + without_effect
        );
        match (interrupted, self.problems.is_empty()) {
            (true, _) => ExitCode::from(INTERRUPTED),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_misses_two_services_is_skipped_once() {
        let lines = "1 a did NOT run: Kafka: no java\n\
                     1 a did NOT run: Redis: none\n\
                     2 a did NOT run: Kafka: no java\n";
        assert_eq!(
            skipped_tests(lines),
            [
                "a did NOT run: Kafka: no java",
                "a did NOT run: Kafka: no java"
            ]
        );
    }
}
