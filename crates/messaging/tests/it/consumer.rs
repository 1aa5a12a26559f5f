//! The consumer runtime on the real adapters: what the scripted log of the other test binary cannot vouch for.
//! Both adapters run the same scenarios.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use messaging::backoff::Backoff;
use messaging::consumer::{
    self, Event, Failure, Handler, Outcome, Retry, Runtime, Settings, Verdict, required_topics,
};
use messaging::dead_letters::{Options, Pages, Place, Redriven, Story, redrive};
use messaging::log::{Error, Reset};
use messaging::record::TopicPartition;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, DEADLINE, at, own, spec, value};

const PARTITIONS: i32 = 3;

/// Counts how often each value was done; refuses some.
#[derive(Default)]
struct Counter {
    done: Mutex<BTreeMap<String, usize>>,
    holding: AtomicBool,
}

#[async_trait]
impl Handler for Counter {
    async fn handle(&self, batch: &[Event]) -> Verdict {
        let failure = || Failure::new("Kind", "what happened");
        if self.holding.load(Ordering::SeqCst) {
            return Verdict::RetryAll(failure());
        }
        let outcome = |event: &Event| {
            let value = value(&event.record);
            match (value.ends_with("13"), value.ends_with("27")) {
                (true, _) => Outcome::Dead(failure()),
                (_, true) if event.attempt < 3 => Outcome::retry(failure()),
                _ => {
                    *self.done.lock().entry(value.to_owned()).or_default() += 1;
                    Outcome::Done
                }
            }
        };
        Verdict::Each(batch.iter().map(outcome).collect())
    }
}

/// A topic with everything a consumer needs beside it, and consumers on it.
struct Stage {
    bed: Bed,
    settings: Settings,
    counter: Arc<Counter>,
}

impl Stage {
    async fn new(bed: Bed) -> Self {
        let topic = bed.topic(PARTITIONS).await;
        let settings = Settings {
            name: "test".into(),
            group: own("group"),
            topics: vec![topic.clone()],
            batch_max: 20,
            retry: Retry::Topics {
                delays_ms: vec![50, 200],
            },
            backoff: Backoff {
                initial_ms: 20,
                max_ms: 200,
                ..Backoff::default()
            },
            ..Settings::default()
        };
        let topics = required_topics(&settings, &spec(&topic, PARTITIONS));
        bed.log.create_topics(&topics).await.unwrap();
        Self {
            bed,
            settings,
            counter: Arc::default(),
        }
    }

    fn topic(&self) -> &str {
        &self.settings.topics[0]
    }

    /// Values `from..to`, dealt to the partitions in turn.
    async fn write(&self, from: usize, to: usize) {
        let partition = |n: usize| (n % PARTITIONS as usize) as i32;
        let record = |n: usize| at(self.topic(), partition(n), &format!("{n:05}"));
        self.bed.publish((from..to).map(record).collect()).await;
    }

    fn consume(&self) -> (CancellationToken, JoinHandle<Result<(), Error>>) {
        let handler = Arc::clone(&self.counter);
        let runtime = Runtime::new(Arc::clone(&self.bed.log), handler, self.settings.clone());
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        (
            cancel,
            tokio::spawn(async move { runtime.run(token).await }),
        )
    }

    /// Retry topics included: what is not committed is work still to be done.
    async fn caught_up(&self) {
        testkit::eventually(DEADLINE, "the group has caught up", async || {
            let lags = consumer::lag(self.bed.log.as_ref(), &self.settings).await?;
            let behind: u64 = lags.iter().map(|lag| lag.records).sum();
            anyhow::ensure!(behind == 0, "{behind} records behind");
            Ok(())
        })
        .await;
    }

    async fn dead(&self) -> usize {
        let topic = consumer::dead_letter_topic(self.topic(), &self.settings.group);
        let mut dead = 0;
        for partition in 0..PARTITIONS {
            let partition = TopicPartition::new(topic.clone(), partition);
            let marks = self.bed.log.watermarks(&topic).await.unwrap();
            let high = marks[partition.partition as usize].high;
            dead += usize::try_from(high).unwrap();
            if high > 0 {
                let records = self.bed.log.read(&partition, 0, 100, 5_000).await.unwrap();
                let original = records[0].headers.text("kafka_dlt-original-topic");
                assert_eq!(original, Some(self.topic()));
            }
        }
        dead
    }

    /// Each of the values `0..count` is done so often as `times` allows, or dead.
    fn check(&self, count: usize, times: std::ops::RangeInclusive<usize>) {
        let done = self.counter.done.lock();
        for n in (0..count).filter(|n| n % 100 != 13) {
            let was = done.get(&format!("{n:05}")).copied().unwrap_or(0);
            assert!(times.contains(&was), "{n} was done {was} times");
        }
    }
}

async fn stop((cancel, running): (CancellationToken, JoinHandle<Result<(), Error>>)) {
    cancel.cancel();
    running.await.unwrap().unwrap();
}

async fn retries_and_dead_letters_travel(bed: Bed) {
    let stage = Stage::new(bed).await;
    stage.write(0, 300).await;
    let running = stage.consume();
    stage.caught_up().await;
    assert_eq!(stage.dead().await, 3);
    stop(running).await;
    stage.check(300, 1..=1);
}

async fn a_clean_stop_leaves_nothing_to_be_delivered_again(bed: Bed) {
    let stage = Stage::new(bed).await;
    let mut written = 0;
    for _ in 0..3 {
        let running = stage.consume();
        stage.write(written, written + 200).await;
        written += 200;
        let half = written - 100;
        testkit::eventually(DEADLINE, "some of them are done", async || {
            let done = stage.counter.done.lock().len();
            anyhow::ensure!(done >= half.min(written) - 20, "{done} done");
            Ok(())
        })
        .await;
        stop(running).await;
    }
    let running = stage.consume();
    stage.caught_up().await;
    stop(running).await;
    stage.check(written, 1..=1);
}

async fn members_come_and_go_and_nothing_is_missed(bed: Bed) {
    let stage = Stage::new(bed).await;
    let steady = stage.consume();
    for round in 0..4 {
        stage.write(round * 150, (round + 1) * 150).await;
        // A dependency that is away for a while must not hold a rebalance up.
        stage.counter.holding.store(round == 2, Ordering::SeqCst);
        let guest = stage.consume();
        if round != 2 {
            stage.caught_up().await;
        }
        stop(guest).await;
    }
    stage.counter.holding.store(false, Ordering::SeqCst);
    stage.caught_up().await;
    stop(steady).await;
    stage.check(600, 1..=8);
    assert_eq!(stage.dead().await, 6);
}

/// What was sent back while nobody consumed is not new to a group that only wants what is new.
async fn a_group_that_starts_at_the_end_still_takes_what_was_sent_back(bed: Bed) {
    let mut stage = Stage::new(bed).await;
    stage.settings.reset = Reset::Latest;
    stage.write(0, 10).await;
    let place = Place::of_group(stage.topic(), &stage.settings.group);
    let sent_back = (0..3).map(|n| at(&place.destination, n, &format!("back-{n}")));
    stage.bed.publish(sent_back.collect()).await;
    let lags = consumer::lag(stage.bed.log.as_ref(), &stage.settings).await;
    let behind: u64 = lags.unwrap().iter().map(|lag| lag.records).sum();
    assert_eq!(behind, 3);
    let running = stage.consume();
    stage.caught_up().await;
    stop(running).await;
    let done: Vec<String> = stage.counter.done.lock().keys().cloned().collect();
    assert_eq!(done, ["back-0", "back-1", "back-2"]);
}

/// The dead come back over the log that they lie on, and their count goes on.
async fn the_dead_are_redriven(bed: Bed) {
    let stage = Stage::new(bed).await;
    stage.write(0, 300).await;
    let running = stage.consume();
    stage.caught_up().await;
    assert_eq!(stage.dead().await, 3);
    let place = Place::of_group(stage.topic(), &stage.settings.group);
    let options = Options {
        rate_per_second: 1_000,
        limit: None,
        again: false,
        dry_run: false,
    };
    let mut progress = Redriven::default();
    let cancel = CancellationToken::new();
    let log = stage.bed.log.as_ref();
    redrive(log, &place, &options, |_| true, &cancel, &mut progress)
        .await
        .unwrap();
    assert_eq!((progress.sent, progress.sent_before), (3, 0));
    stage.caught_up().await;
    assert_eq!(stage.dead().await, 6);
    let mut pages = Pages::open(log, &place.topic).await.unwrap();
    let mut deliveries = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        deliveries.extend(page.iter().map(|record| Story::of(record).deliveries));
    }
    deliveries.sort_unstable();
    assert_eq!(deliveries, [1, 1, 1, 2, 2, 2]);
    stop(running).await;
    stage.check(300, 1..=1);
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bed) = crate::bed::Bed::embedded().await {
                    super::$name(bed).await;
                }
            })*
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bed) = crate::bed::Bed::kafka().await {
                    super::$name(bed).await;
                }
            })*
        }
    };
}

on_both!(
    retries_and_dead_letters_travel,
    a_clean_stop_leaves_nothing_to_be_delivered_again,
    members_come_and_go_and_nothing_is_missed,
    a_group_that_starts_at_the_end_still_takes_what_was_sent_back,
    the_dead_are_redriven,
);
