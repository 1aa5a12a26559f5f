//! Topics, watermarks and reading outside groups.

use std::time::Duration;

use messaging::log::{Error, TopicInfo, Watermarks};
use messaging::record::TopicPartition;
use testkit::eventually;

use crate::bed::{Bed, DEADLINE, at, own, spec, values};

pub async fn topics_are_created_described_and_deleted(bed: &Bed) {
    let name = own("topic");
    let missing = bed.log.topic(&name).await;
    assert!(
        matches!(missing, Err(Error::UnknownTopic(_))),
        "{missing:?}"
    );
    let mut topic = spec(&name, 5);
    topic.retention_ms = Some(3_600_000);
    bed.log.create_topics(&[topic]).await.expect("a new topic");
    let info = TopicInfo {
        name: name.clone(),
        partitions: 5,
        replication: 1,
    };
    assert_eq!(bed.log.topic(&name).await.expect("it is there"), info);
    assert!(bed.log.topics().await.expect("topics").contains(&info));

    bed.publish(vec![at(&name, 4, "x")]).await;
    bed.log.delete_topic(&name).await.expect("it goes");
    eventually(DEADLINE, "the topic is gone", async || {
        match bed.log.topic(&name).await {
            Err(Error::UnknownTopic(_)) => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    })
    .await;
    let again = bed.log.delete_topic(&name).await;
    assert!(matches!(again, Err(Error::UnknownTopic(_))), "{again:?}");
}

pub async fn a_topic_that_exists_is_left_as_it_is(bed: &Bed) {
    let topic = bed.topic(3).await;
    bed.fill(&topic, 2).await;
    for partitions in [1, 8] {
        let both = [spec(&topic, partitions), spec(&own("topic"), 1)];
        bed.log.create_topics(&both).await.expect("nothing to do");
        assert_eq!(bed.log.topic(&topic).await.expect("there").partitions, 3);
        assert!(bed.log.topic(&both[1].name).await.is_ok());
    }
    assert_eq!(bed.log.watermarks(&topic).await.expect("marks")[0].high, 2);
    let wrong = bed.log.create_topics(&[spec("no such name!", 1)]).await;
    assert!(matches!(wrong, Err(Error::Refused(_))), "{wrong:?}");
}

pub async fn limits_are_told_in_the_order_asked(bed: &Bed) {
    let usual = bed.topic(1).await;
    let large = bed.topic_with(1, Some(12_000_000)).await;
    let small = bed.topic_with(2, Some(2_000)).await;
    let limits = async |topics: &[&String]| {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).clone()).collect();
        bed.log.max_message_bytes(&topics).await
    };
    let told = limits(&[&small, &usual, &large]).await.expect("limits");
    // 1 MiB and a batch's head: what both logs take where nobody says more.
    assert_eq!(told, [2_000, 1_048_588, 12_000_000]);
    let told = limits(&[&large, &small]).await.expect("limits");
    assert_eq!(told, [12_000_000, 2_000]);
    assert!(limits(&[]).await.expect("nothing asked").is_empty());
    let unknown = limits(&[&usual, &own("nowhere")]).await;
    assert!(
        matches!(unknown, Err(Error::UnknownTopic(_))),
        "{unknown:?}"
    );
}

pub async fn watermarks_follow_the_records(bed: &Bed) {
    let topic = bed.topic(2).await;
    let high = |partition, high| Watermarks {
        partition,
        low: 0,
        high,
    };
    let marks = bed.log.watermarks(&topic).await.expect("marks");
    assert_eq!(marks, [high(0, 0), high(1, 0)]);
    bed.fill(&topic, 7).await;
    let marks = bed.log.watermarks(&topic).await.expect("marks");
    assert_eq!(marks, [high(0, 7), high(1, 0)]);
}

pub async fn read_looks_without_a_group(bed: &Bed) {
    let topic = bed.topic(2).await;
    bed.fill(&topic, 20).await;
    let partition = TopicPartition::new(topic, 0);
    let read = async |offset, max, wait_ms| {
        let records = bed.log.read(&partition, offset, max, wait_ms).await;
        records.expect("records")
    };
    let mut next = 0;
    while next < 20 {
        let records = read(next, 6, 0).await;
        assert!((1..=6).contains(&records.len()), "{}", records.len());
        assert!(records.iter().zip(next..).all(|(r, n)| r.offset == n));
        next += records.len() as i64;
    }
    assert_eq!(values(&read(2, 1, 0).await), ["2"]);
    assert_eq!(values(&read(-5, 1, 0).await), ["0"]);
    assert!(read(20, 6, 50).await.is_empty());
    assert!(read(99, 6, 50).await.is_empty());
}

pub async fn read_waits_for_what_comes(bed: &Bed) {
    let topic = bed.topic(1).await;
    let partition = TopicPartition::new(topic.clone(), 0);
    let read = bed.log.read(&partition, 0, 10, DEADLINE.as_millis() as u64);
    let publish = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        bed.publish(vec![at(&topic, 0, "x")]).await;
    };
    let (records, ()) = tokio::join!(read, publish);
    assert_eq!(values(&records.expect("records")), ["x"]);
}

pub async fn what_does_not_exist_is_said_so(bed: &Bed) {
    bed.log.ping().await.expect("the log answers");
    let nowhere = own("nowhere");
    let partition = TopicPartition::new(nowhere.clone(), 0);
    let read = bed.log.read(&partition, 0, 1, 0).await;
    assert!(matches!(read, Err(Error::UnknownTopic(_))), "{read:?}");
    let marks = bed.log.watermarks(&nowhere).await;
    assert!(matches!(marks, Err(Error::UnknownTopic(_))), "{marks:?}");
    let committed = bed.log.committed(&own("group"), &nowhere).await;
    assert!(matches!(committed, Err(Error::UnknownTopic(_))));
    let topic = bed.topic(1).await;
    let beyond = TopicPartition::new(topic, 5);
    assert!(bed.log.read(&beyond, 0, 1, 0).await.is_err());
}
