//! One member of a group: positions, commits, backpressure, stops.

use std::time::Duration;

use messaging::log::{Delivery, Error, Reset};
use messaging::record::TopicPartition;

use crate::bed::{Bed, DEADLINE, at, own, spec, value, values};

pub async fn a_group_resumes_where_it_committed(bed: &Bed) {
    let (topic, group) = (bed.topic(1).await, own("group"));
    bed.fill(&topic, 10).await;
    let mut seat = bed.join(&group, &topic).await;
    assert_eq!(seat.take(10).await.len(), 10);
    assert_eq!(bed.committed(&group, &topic).await, [None]);
    seat.commit(&topic, 0, 4).await;
    assert_eq!(bed.committed(&group, &topic).await, [Some(4)]);
    seat.leave().await;

    let mut seat = bed.join(&group, &topic).await;
    assert_eq!(values(&seat.take(6).await), ["4", "5", "6", "7", "8", "9"]);
}

pub async fn what_was_not_committed_comes_again(bed: &Bed) {
    let (topic, group) = (bed.topic(1).await, own("group"));
    bed.fill(&topic, 5).await;
    for _ in 0..2 {
        let mut seat = bed.join(&group, &topic).await;
        assert_eq!(values(&seat.take(5).await), ["0", "1", "2", "3", "4"]);
        seat.leave().await;
    }
}

pub async fn groups_do_not_disturb_each_other(bed: &Bed) {
    let topic = bed.topic(1).await;
    let (one, other) = (own("group"), own("group"));
    bed.fill(&topic, 20).await;
    let mut first = bed.join(&one, &topic).await;
    let mut second = bed.join(&other, &topic).await;
    assert_eq!(first.take(20).await.len(), 20);
    first.commit(&topic, 0, 20).await;
    assert_eq!(second.take(20).await.len(), 20);
    assert_eq!(bed.committed(&one, &topic).await, [Some(20)]);
    assert_eq!(bed.committed(&other, &topic).await, [None]);
}

pub async fn nothing_comes_before_ready(bed: &Bed) {
    let topic = bed.topic(2).await;
    bed.fill(&topic, 30).await;
    let small = |s: &mut messaging::log::Subscription| s.batch_max = 10;
    let mut seat = bed.join_with(&own("group"), &topic, small).await;
    let first = seat.batch().await;
    assert!(first.len() <= 10);

    // The other partition goes on meanwhile, any number of times.
    for n in 0..3 {
        bed.publish(vec![at(&topic, 1, &format!("other-{n}"))])
            .await;
        let other = seat.batch().await;
        assert_eq!(values(&other), [format!("other-{n}")]);
        seat.membership.ready(&other[0].topic_partition());
    }
    let held = TopicPartition::new(topic.clone(), 0);
    seat.membership.ready(&held);
    let rest = seat.take(30 - first.len()).await;
    let all: Vec<_> = first.iter().chain(&rest).map(value).collect();
    let expected: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    assert_eq!(all, expected);
}

pub async fn seek_moves_within_the_partition(bed: &Bed) {
    let topic = bed.topic(1).await;
    bed.fill(&topic, 50).await;
    let small = |s: &mut messaging::log::Subscription| s.batch_max = 10;
    let mut seat = bed.join_with(&own("group"), &topic, small).await;
    let partition = TopicPartition::new(topic, 0);
    let first = seat.batch().await;
    assert_eq!(first[0].offset, 0);

    seat.membership.seek(&partition, 3).await.expect("back");
    let again = seat.batch().await;
    assert_eq!(again[0].offset, 3);
    seat.membership.seek(&partition, 40).await.expect("forth");
    let later = seat.take(10).await;
    assert_eq!(value(&later[0]), "40");
    assert_eq!(later.len(), 10);
}

pub async fn latest_skips_what_was_there(bed: &Bed) {
    let topic = bed.topic(1).await;
    bed.fill(&topic, 5).await;
    let latest = |s: &mut messaging::log::Subscription| s.reset = Reset::Latest;
    let mut seat = bed.join_with(&own("group"), &topic, latest).await;
    seat.hold(1).await;
    // The end is looked up after the assignment: keep writing until something arrives.
    let mut written = 5;
    let first = loop {
        bed.publish(vec![at(&topic, 0, &written.to_string())]).await;
        written += 1;
        let wait = Duration::from_millis(50);
        if let Ok(records) = tokio::time::timeout(wait, seat.batch()).await {
            break records;
        }
        assert!(written < 500, "nothing arrives");
    };
    assert!(first[0].offset >= 5);
}

pub async fn an_offset_out_of_range_stops_its_partition_only(bed: &Bed) {
    let (topic, group) = (bed.topic(2).await, own("group"));
    bed.publish(vec![at(&topic, 0, "a"), at(&topic, 1, "b")])
        .await;
    let mut seat = bed.join(&group, &topic).await;
    seat.take(2).await;
    seat.commit(&topic, 0, 1_000).await;
    seat.leave().await;

    let mut seat = bed.join(&group, &topic).await;
    let (mut stopped, mut other) = (None, None);
    while stopped.is_none() || other.is_none() {
        match seat.next().await {
            Delivery::Stopped(partition, error) => stopped = Some((partition, error)),
            Delivery::Batch(batch) => other = Some(batch),
            _ => {}
        }
    }
    let lost = TopicPartition::new(topic.clone(), 0);
    let Some((
        partition,
        Error::OffsetOutOfRange {
            offset, low, high, ..
        },
    )) = stopped
    else {
        panic!("{stopped:?}");
    };
    assert_eq!((partition, offset, low, high), (lost, 1_000, 0, 1));
    assert_eq!(other.map(|batch| batch.partition.partition), Some(1));
    assert_eq!(bed.committed(&group, &topic).await[0], Some(1_000));
}

pub async fn next_may_be_dropped_at_any_time(bed: &Bed) {
    let topic = bed.topic(3).await;
    let small = |s: &mut messaging::log::Subscription| s.batch_max = 7;
    let mut seat = bed.join_with(&own("group"), &topic, small).await;
    let batch = (0..300)
        .map(|n| at(&topic, n % 3, &n.to_string()))
        .collect();
    let publish = bed.publish(batch);
    let mut seen = Vec::new();
    let read = async {
        while seen.len() < 300 {
            let wait = Duration::from_micros(fastrand::u64(0..2_000));
            let Ok(delivery) = tokio::time::timeout(wait, seat.membership.next()).await else {
                continue;
            };
            if let Delivery::Batch(batch) = delivery.expect("a membership") {
                seen.extend(batch.records.iter().map(|r| (r.partition, r.offset)));
                seat.membership.ready(&batch.partition);
            }
        }
    };
    let both = futures::future::join(publish, read);
    tokio::time::timeout(DEADLINE, both)
        .await
        .expect("all records");
    for partition in 0..3 {
        let offsets: Vec<_> = seen.iter().filter(|(p, _)| *p == partition).collect();
        assert!(offsets.iter().zip(0..).all(|((_, offset), n)| *offset == n));
        assert_eq!(offsets.len(), 100);
    }
}

pub async fn a_member_may_join_before_the_topic_exists(bed: &Bed) {
    let topic = own("topic");
    let mut seat = bed.join(&own("group"), &topic).await;
    let early = tokio::time::timeout(Duration::from_millis(300), seat.next()).await;
    assert!(early.is_err(), "there is nothing yet: {early:?}");
    let created = bed.log.create_topics(&[spec(&topic, 2)]).await;
    created.expect("a new topic");
    bed.publish(vec![at(&topic, 1, "x")]).await;
    assert_eq!(values(&seat.take(1).await), ["x"]);
}

pub async fn several_topics_in_one_membership(bed: &Bed) {
    let (one, other) = (bed.topic(2).await, bed.topic(1).await);
    let both = |s: &mut messaging::log::Subscription| s.topics.push(other.clone());
    let mut seat = bed.join_with(&own("group"), &one, both).await;
    bed.publish(vec![at(&one, 1, "a"), at(&other, 0, "b")])
        .await;
    let records = seat.take(2).await;
    let mut got = values(&records);
    got.sort_unstable();
    assert_eq!(got, ["a", "b"]);
    assert_eq!(seat.owned.len(), 3);
}
