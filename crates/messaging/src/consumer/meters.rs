//! The numbers that a consumer shows, by the names that dashboards read.
//! Only emission: the binary installs the recorder.
//! The worker of a partition and the member call it.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::Outcome;
use crate::record::TopicPartition;

pub(super) fn outcomes(consumer: &str, outcomes: &[Outcome]) {
    let mut done = 0;
    let mut retry = 0;
    let mut dead = 0;
    for outcome in outcomes {
        match outcome {
            Outcome::Done => done += 1,
            Outcome::Retry { .. } => retry += 1,
            Outcome::Dead(_) => dead += 1,
        }
    }
    for (outcome, count) in [("done", done), ("retry", retry), ("dead", dead)] {
        if count > 0 {
            records(consumer, outcome, count);
        }
    }
}

pub(super) fn records(consumer: &str, outcome: &'static str, count: u64) {
    counter!("madang_consumer_records_total", "consumer" => consumer.to_owned(), "outcome" => outcome).increment(count);
}

pub(super) fn batch(consumer: &str, took: Duration, records: usize) {
    histogram!("madang_consumer_batch_seconds", "consumer" => consumer.to_owned()).record(took);
    histogram!("madang_consumer_batch_records", "consumer" => consumer.to_owned())
        .record(records as f64);
}

/// `kind`: `record` held in place, `batch` held in place, or `topic`.
pub(super) fn retries(consumer: &str, kind: &'static str, count: u64) {
    counter!("madang_consumer_retries_total", "consumer" => consumer.to_owned(), "kind" => kind)
        .increment(count);
}

pub(super) fn dead_letter(consumer: &str, topic: &str) {
    counter!("madang_consumer_dead_letters_total", "consumer" => consumer.to_owned(), "topic" => topic.to_owned())
        .increment(1);
}

pub(super) fn publish_failure(consumer: &str) {
    counter!("madang_consumer_publish_failures_total", "consumer" => consumer.to_owned())
        .increment(1);
}

/// 1 while the partition cannot go on by itself or waits for a retry or dead letter to be taken, else 0.
pub(super) fn stopped(consumer: &str, partition: &TopicPartition, stopped: bool) {
    gauge!(
        "madang_consumer_partition_stopped",
        "consumer" => consumer.to_owned(),
        "topic" => partition.topic.clone(),
        "partition" => partition.partition.to_string(),
    )
    .set(if stopped { 1.0 } else { 0.0 });
}
