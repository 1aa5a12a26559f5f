//! The crash loop in a test run: faults chosen by a seed, as many as there is time for, on both grounds. The whole loop is the
//! command `faults crash-loop`. Needs the feature `failpoints`. Expected time: 5 minutes.

use std::time::Duration;

use faults::crash_loop::{self, Options};
use tokio::sync::Mutex;

/// Chooses the faults in place of chance.
const SEED: &str = "MADANG_TEST_SEED";

/// One fleet at a time is enough for a small machine.
static TURN: Mutex<()> = Mutex::const_new(());

async fn fire(embedded: bool, within_s: u64, at_least: usize) {
    let _turn = TURN.lock().await;
    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let options = Options {
        binary: env!("CARGO_BIN_EXE_madang").into(),
        embedded,
        seed: given.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        sample: None,
        within: Some(Duration::from_secs(within_s)),
        shard: (1, 1),
        only: Vec::new(),
    };
    println!("seed {}", options.seed);
    let report = match crash_loop::run(&options).await {
        Ok(Some(report)) => report,
        Ok(None) => return,
        Err(error) => panic!("seed {}: {error:#}", options.seed),
    };
    println!("{report:?}");
    assert!(report.fired >= at_least, "{report:?}");
    assert!(
        report.slowest_ready <= Duration::from_secs(30),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failpoints_fire_on_kafka_mysql_redis() {
    fire(false, 200, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failpoints_fire_embedded() {
    fire(true, 50, 5).await;
}
