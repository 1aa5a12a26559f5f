//! Services for a test: given from outside by the suite, else started once per test binary, else said not to be had.
//! It shares only what can be shared: one MariaDB and one Kafka for all tests of a binary, a Redis for each caller.
//! Called at the start of each test that needs a real service.
//!
//! Not to be stopped or killed: a fault test starts its own (`MariaDb::start`, `Kafka::start`).

use std::io::Write;

use anyhow::Result;
use tokio::sync::OnceCell;

#[cfg(feature = "tls")]
use crate::services::SecuredKafka;
use crate::services::{Kafka, MariaDb, Redis};

/// "off": tests that need a service do not run, because whoever started them wanted it so.
pub const SERVICES: &str = "MADANG_TEST_SERVICES";
/// A file to which every test that does not run appends a line `PID TEST did NOT run: WHY`, so that the suite can count them.
pub const SKIPPED: &str = "MADANG_TEST_SKIPPED";

/// The MariaDB of this run, with [`MariaDb::create_database`] for a database of one's own; `None`: the test cannot run.
pub async fn mariadb() -> Option<&'static MariaDb> {
    static SHARED: OnceCell<Result<MariaDb>> = OnceCell::const_new();
    let start = async || match MariaDb::from_env() {
        Some(given) => Ok(given),
        None => MariaDb::start().await,
    };
    had("MariaDB", &SHARED, start).await
}

/// The Kafka of this run: give topics and groups names of your own; `None`: the test cannot run.
pub async fn kafka() -> Option<&'static Kafka> {
    static SHARED: OnceCell<Result<Kafka>> = OnceCell::const_new();
    let start = async || match Kafka::from_env() {
        Some(given) => Ok(given),
        None => Kafka::start().await,
    };
    had("Kafka", &SHARED, start).await
}

/// The Kafka with TLS and passwords of this test binary: always one of ours, as nobody outside has our keys. `None`: the test cannot run.
#[cfg(feature = "tls")]
pub async fn secured_kafka() -> Option<&'static SecuredKafka> {
    static SHARED: OnceCell<Result<SecuredKafka>> = OnceCell::const_new();
    had("Kafka with TLS", &SHARED, SecuredKafka::start).await
}

/// An empty Redis of the caller's own. Only where none can be started it is the one given from outside, whatever it holds.
/// `None`: the test cannot run.
pub async fn redis() -> Option<Redis> {
    if switched_off("Redis") {
        return None;
    }
    match Redis::start().await {
        Ok(redis) => Some(redis),
        Err(error) => Redis::from_env().or_else(|| {
            not_run(&format!("Redis: {error:#}"));
            None
        }),
    }
}

/// A service of the caller's own, to be stopped and killed at will, such as `own("Kafka", Kafka::start())`. `None`: the test
/// cannot run.
pub async fn own<T>(name: &str, start: impl Future<Output = Result<T>>) -> Option<T> {
    if switched_off(name) {
        return None;
    }
    match start.await {
        Ok(service) => Some(service),
        Err(error) => {
            not_run(&format!("{name}: {error:#}"));
            None
        }
    }
}

async fn had<T>(
    name: &str,
    shared: &'static OnceCell<Result<T>>,
    start: impl AsyncFn() -> Result<T>,
) -> Option<&'static T> {
    if switched_off(name) {
        return None;
    }
    match shared.get_or_init(|| start()).await {
        Ok(service) => Some(service),
        Err(error) => {
            not_run(&format!("{name}: {error:#}"));
            None
        }
    }
}

fn switched_off(name: &str) -> bool {
    let off = std::env::var(SERVICES).is_ok_and(|value| value == "off");
    if off {
        note(&format!("{name}: services are switched off"));
    }
    off
}

/// Says that the running test did not run, past the test harness' capture; call it and return from the test.
///
/// # Panics
/// When `CI=true`: there, a test that does not run is a test that fails, and it is not noted as skipped.
#[track_caller]
pub fn not_run(why: &str) {
    let strict = std::env::var("CI").as_deref() == Ok("true");
    assert!(!strict, "did NOT run: {why}");
    note(why);
}

fn note(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("{test} did NOT run: {}\n", why.replace('\n', " | "));
    // Straight to the stream: the harness swallows what a passing test prints with `eprintln!`.
    let _ = std::io::stderr().write_all(format!("\n!!! {line}").as_bytes());
    // One test may ask for several services: the process id tells its lines from those of a namesake in another binary.
    let line = format!("{} {line}", std::process::id());
    if let Ok(file) = std::env::var(SKIPPED)
        && let Ok(mut file) = std::fs::File::options()
            .append(true)
            .create(true)
            .open(file)
    {
        let _ = file.write_all(line.as_bytes());
    }
}
