//! What the embedded log promises beyond the contract: durability, other processes beside it, retention.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use messaging::embedded::Settings;
use messaging::log::{Delivery, Error, EventLog};
use messaging::record::{Outgoing, TopicPartition};

use crate::bed::{Bed, DEADLINE, at, open, open_with, own, spec, values};
use crate::contract::rebalance::settle;

#[tokio::test]
async fn what_was_acknowledged_survives_closing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log.db");
    let (topic, group) = (own("topic"), own("group"));
    {
        let bed = Bed::of(open(&file).await);
        bed.log
            .create_topics(&[spec(&topic, 1)])
            .await
            .expect("new");
        bed.fill(&topic, 10).await;
        let mut seat = bed.join(&group, &topic).await;
        seat.take(10).await;
        seat.commit(&topic, 0, 6).await;
    }
    let bed = Bed::of(open(&file).await);
    assert_eq!(bed.publish(vec![at(&topic, 0, "10")]).await, [(0, 10)]);
    let mut seat = bed.join(&group, &topic).await;
    assert_eq!(values(&seat.take(5).await), ["6", "7", "8", "9", "10"]);
}

#[tokio::test]
async fn appends_come_together_for_an_interval_unless_they_are_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        append_interval_ms: u64::from(u32::MAX),
        publish_batch_max: 3,
        ..Settings::default()
    };
    let bed = Bed::of(open_with(&folder.path().join("log.db"), settings).await);
    let topic = own("topic");
    bed.log
        .create_topics(&[spec(&topic, 1)])
        .await
        .expect("new");
    // The first after a pause is not kept waiting.
    assert_eq!(bed.publish(vec![at(&topic, 0, "0")]).await, [(0, 0)]);
    let mut second = std::pin::pin!(bed.publish(vec![at(&topic, 0, "1")]));
    for _ in 0..20 {
        assert!(futures::poll!(&mut second).is_pending());
        let marks = bed.log.watermarks(&topic).await.expect("marks");
        assert_eq!(marks[0].high, 1);
    }
    let third = bed.publish(vec![at(&topic, 0, "2"), at(&topic, 0, "3")]);
    let (second, third) = tokio::join!(second, third);
    assert_eq!((second, third), (vec![(0, 1)], vec![(0, 2), (0, 3)]));
}

const CHILD: &str = "MESSAGING_TEST_APPEND_TO";

/// Not a test by itself: the process that `kill_takes_nothing_acknowledged` kills.
#[tokio::test]
async fn appends_for_ever_when_asked() {
    let Ok(file) = std::env::var(CHILD) else {
        return;
    };
    let log = open(Path::new(&file)).await;
    for n in 0.. {
        let batch = vec![at("t", 0, &n.to_string()); 20];
        let results = log.publish(batch).await;
        let last = results.last().expect("a result").as_ref().expect("taken");
        // Straight to the stream: the harness keeps what is printed.
        writeln!(std::io::stdout(), "acknowledged {}", last.offset).expect("a reader");
    }
}

#[tokio::test]
async fn kill_takes_nothing_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log.db");
    let bed = Bed::of(open(&file).await);
    bed.log.create_topics(&[spec("t", 1)]).await.expect("new");
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "embedded_log::appends_for_ever_when_asked",
            "--nocapture",
        ])
        .env(CHILD, &file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let lines = output.lines().map_while(Result::ok);
    let offsets = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<i64>().ok());
    let acknowledged = offsets.take(50).last().expect("it appends");
    child.kill().expect("killed");
    child.wait().expect("gone");

    let mut seat = bed.join(&own("group"), "t").await;
    let high = bed.log.watermarks("t").await.expect("marks")[0].high;
    assert!(
        high > acknowledged && high % 20 == 0,
        "whole batches: {high}"
    );
    let records = seat.take(high as usize).await;
    assert!(records.iter().zip(0..).all(|(r, n)| r.offset == n));
}

#[tokio::test]
async fn another_process_may_append_and_make_topics() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log.db");
    let (bed, other) = (Bed::of(open(&file).await), Bed::of(open(&file).await));
    let topic = own("topic");
    let mut seat = bed.join(&own("group"), &topic).await;
    other
        .log
        .create_topics(&[spec(&topic, 1)])
        .await
        .expect("new");
    seat.hold(1).await;
    assert_eq!(other.publish(vec![at(&topic, 0, "a")]).await, [(0, 0)]);
    assert_eq!(bed.publish(vec![at(&topic, 0, "b")]).await, [(0, 1)]);
    assert_eq!(other.publish(vec![at(&topic, 0, "c")]).await, [(0, 2)]);
    assert_eq!(values(&seat.take(3).await), ["a", "b", "c"]);

    other.log.delete_topic(&topic).await.expect("it goes");
    other
        .log
        .create_topics(&[spec(&topic, 1)])
        .await
        .expect("new");
    other.publish(vec![at(&topic, 0, "another")]).await;
    let told = loop {
        match seat.next().await {
            Delivery::Revoked(revocation) => revocation.done(),
            Delivery::Assigned(_) => {}
            told => break told,
        }
    };
    // Whether it saw the topic missing or only its successor, it never reads on as if nothing had been.
    match told {
        Delivery::Batch(batch) => assert_eq!(values(&batch.records), ["another"]),
        Delivery::Stopped(_, error) => assert!(matches!(error, Error::UnknownTopic(_))),
        told => panic!("{told:?}"),
    }
}

#[tokio::test]
async fn retention_takes_the_oldest_and_gives_no_offset_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        prune_batch_max: 7,
        ..Settings::default()
    };
    let log = Arc::new(open_with(&folder.path().join("log.db"), settings).await);
    let bed = Bed::of_arc(log.clone());
    let (topic, group) = (own("topic"), own("group"));
    let mut kept = spec(&topic, 1);
    kept.retention_ms = Some(1_000);
    bed.log.create_topics(&[kept]).await.expect("new");
    let old = |n: i64| Outgoing {
        timestamp_ms: Some(n * 100),
        ..at(&topic, 0, &n.to_string())
    };
    bed.publish((0..40).map(old).collect()).await;
    let mut seat = bed.join(&group, &topic).await;
    seat.take(40).await;
    seat.commit(&topic, 0, 5).await;
    seat.leave().await;

    let now = jiff::Timestamp::from_millisecond(3_000).expect("a time");
    assert_eq!(log.prune_once(now).await.expect("pruned"), 20);
    assert_eq!(log.prune_once(now).await.expect("pruned"), 0);
    assert_eq!(low_and_high(&bed, &topic).await, (20, 40));
    let partition = TopicPartition::new(topic.clone(), 0);
    let read = bed.log.read(&partition, 0, 1, 0).await.expect("records");
    assert_eq!(values(&read), ["20"]);
    let mut seat = bed.join(&group, &topic).await;
    let stopped = loop {
        if let Delivery::Stopped(_, error) = seat.next().await {
            break error;
        }
    };
    assert!(
        matches!(
            stopped,
            Error::OffsetOutOfRange {
                offset: 5,
                low: 20,
                high: 40,
                ..
            }
        ),
        "{stopped}"
    );

    let later = jiff::Timestamp::from_millisecond(60_000).expect("a time");
    assert_eq!(log.prune_once(later).await.expect("pruned"), 20);
    assert_eq!(low_and_high(&bed, &topic).await, (40, 40));
    assert_eq!(bed.publish(vec![at(&topic, 0, "x")]).await, [(0, 40)]);
}

async fn low_and_high(bed: &Bed, topic: &str) -> (i64, i64) {
    let marks = bed.log.watermarks(topic).await.expect("marks");
    (marks[0].low, marks[0].high)
}

#[tokio::test]
async fn a_member_that_does_not_let_go_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        revoke_drain_ms: 50,
        ..Settings::default()
    };
    let bed = Bed::of(open_with(&folder.path().join("log.db"), settings).await);
    let (topic, group) = (bed.topic(2).await, own("group"));
    let mut first = bed.join(&group, &topic).await;
    first.hold(2).await;
    let mut second = bed.join(&group, &topic).await;
    let revocation = loop {
        if let Delivery::Revoked(revocation) = first.next().await {
            break revocation;
        }
    };
    let held = tokio::time::timeout(DEADLINE, second.hold(1)).await;
    held.expect("the second gets it while the first still drains");
    let gone = revocation.partitions[0].clone();
    let late = first.membership.commit(&[(gone, 1)]).await;
    assert!(matches!(late, Err(Error::Refused(_))), "{late:?}");
    revocation.done();
    settle(&mut first, &mut second, 1, 1).await;
    let quiet = tokio::time::timeout(Duration::from_millis(50), second.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
