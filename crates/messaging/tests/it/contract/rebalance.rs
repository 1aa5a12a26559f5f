//! Several members of one group: sharing, handing over, and who may commit.

use std::collections::BTreeSet;
use std::time::Duration;

use messaging::log::Delivery;
use messaging::record::TopicPartition;

use crate::bed::{Bed, DEADLINE, Seat, at, own, value};

/// Runs both members until the first holds `one` partitions and the second `other`.
pub async fn settle(first: &mut Seat, second: &mut Seat, one: usize, other: usize) {
    let settled = async {
        while first.owned.len() != one || second.owned.len() != other {
            let delivery = tokio::select! {
                delivery = first.next() => delivery,
                delivery = second.next() => delivery,
            };
            if let Delivery::Revoked(revocation) = delivery {
                revocation.done();
            }
        }
    };
    let settled = tokio::time::timeout(DEADLINE, settled).await;
    settled.unwrap_or_else(|_| panic!("{:?} and {:?}", first.owned, second.owned));
}

pub async fn two_members_share_and_lose_nothing(bed: &Bed) {
    let (topic, group) = (bed.topic(4).await, own("group"));
    let mut first = bed.join(&group, &topic).await;
    first.hold(4).await;
    let mut second = bed.join(&group, &topic).await;
    let mut seen = BTreeSet::new();
    for round in 0..100 {
        let batch = (0..4).map(|p| at(&topic, p, &format!("{round}-{p}")));
        bed.publish(batch.collect()).await;
        let until = 4 * (round + 1);
        let reading = async {
            // Later rounds run on whatever the rebalance has come to.
            while seen.len() < until {
                let (seat, delivery) = tokio::select! {
                    delivery = first.next() => (&mut first, delivery),
                    delivery = second.next() => (&mut second, delivery),
                };
                match delivery {
                    Delivery::Batch(batch) => {
                        seen.extend(batch.records.iter().map(|r| value(r).to_owned()));
                        let next = batch.records.last().map_or(0, |last| last.offset + 1);
                        // Refused when the partition has just gone: the other one reads it again.
                        let offsets = [(batch.partition.clone(), next)];
                        let _ = seat.membership.commit(&offsets).await;
                        seat.membership.ready(&batch.partition);
                    }
                    Delivery::Revoked(revocation) => revocation.done(),
                    Delivery::Assigned(_) => {}
                    Delivery::Stopped(partition, error) => panic!("{partition}: {error}"),
                }
            }
        };
        let read = tokio::time::timeout(DEADLINE, reading).await;
        read.unwrap_or_else(|_| panic!("round {round}: {} of {until}", seen.len()));
    }
    settle(&mut first, &mut second, 2, 2).await;
    assert!(first.owned.is_disjoint(&second.owned));
}

pub async fn a_member_that_leaves_hands_over_at_once(bed: &Bed) {
    let (topic, group) = (bed.topic(2).await, own("group"));
    let mut first = bed.join(&group, &topic).await;
    let mut second = bed.join(&group, &topic).await;
    settle(&mut first, &mut second, 1, 1).await;
    first.leave().await;
    second.hold(2).await;
}

pub async fn a_dropped_member_hands_over(bed: &Bed) {
    let (topic, group) = (bed.topic(2).await, own("group"));
    let mut first = bed.join(&group, &topic).await;
    first.hold(2).await;
    let mut second = bed.join(&group, &topic).await;
    settle(&mut first, &mut second, 1, 1).await;
    drop(first);
    second.hold(2).await;
}

pub async fn a_revoked_partition_cannot_be_committed(bed: &Bed) {
    let (topic, group) = (bed.topic(2).await, own("group"));
    bed.publish(vec![at(&topic, 0, "a"), at(&topic, 1, "b")])
        .await;
    let mut first = bed.join(&group, &topic).await;
    first.take(2).await;
    let mut second = bed.join(&group, &topic).await;
    settle(&mut first, &mut second, 1, 1).await;
    for partition in 0..2 {
        let place = TopicPartition::new(topic.clone(), partition);
        let held = first.owned.contains(&place);
        let committed = first.membership.commit(&[(place, 1)]).await;
        assert_eq!(committed.is_ok(), held, "{committed:?}");
        let offset = bed.committed(&group, &topic).await[partition as usize];
        assert_eq!(offset, held.then_some(1));
    }
    let elsewhere = TopicPartition::new(topic, 9);
    assert!(first.membership.seek(&elsewhere, 0).await.is_err());
}

pub async fn what_is_drained_can_be_committed(bed: &Bed) {
    let (topic, group) = (bed.topic(2).await, own("group"));
    bed.publish(vec![at(&topic, 0, "a"), at(&topic, 1, "b")])
        .await;
    let mut first = bed.join(&group, &topic).await;
    first.take(2).await;
    let mut second = bed.join(&group, &topic).await;
    let revocation = loop {
        let delivery = tokio::select! {
            delivery = first.next() => delivery,
            delivery = second.next() => panic!("before the first let go: {delivery:?}"),
        };
        if let Delivery::Revoked(revocation) = delivery {
            break revocation;
        }
    };
    // Still its own until it lets go, and nobody else's.
    let early = tokio::time::timeout(Duration::from_millis(200), second.next()).await;
    assert!(early.is_err(), "{early:?}");
    let offsets: Vec<_> = revocation
        .partitions
        .iter()
        .map(|at| (at.clone(), 1))
        .collect();
    let committed = first.membership.commit(&offsets).await;
    committed.expect("a commit while draining");
    revocation.done();
    settle(&mut first, &mut second, 1, 1).await;
    for (place, _) in offsets {
        let committed = bed.committed(&group, &topic).await;
        assert_eq!(committed[place.partition as usize], Some(1));
    }
}
