//! What the producer says of records when requests fail: on a broker in librdkafka itself that fails as it is told, and on a real one.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::kafka::{KafkaLog, Settings};
use crate::log::{EventLog, TopicSpec};

/// A partition where the broker knows nothing of the producer takes any sequence number: the first request fails, the second,
/// sent meanwhile, is taken, and librdkafka then reports the first one's record as delivered too.
#[tokio::test]
async fn a_record_overtaken_on_a_fresh_partition_is_not_taken_for_written() {
    let broker = MockCluster::new(1).expect("a broker in this process");
    broker.create_topic("topic", 1, 1).expect("a new topic");
    // Both requests are on their way before the first answer.
    broker
        .broker_round_trip_time(-1, Duration::from_millis(50))
        .expect("a slow broker");
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    broker.request_errors(RDKafkaApiKey::Produce, &[unknown]);
    let settings = Settings {
        brokers: broker.bootstrap_servers(),
        ..Settings::default()
    };
    let mut config = settings.producer();
    config.set("batch.num.messages", "1");
    let producer = Producer::new(config, settings.message_timeout_ms).expect("right settings");
    let onlooker: BaseConsumer = settings.onlooker("onlooker").create().expect("a client");
    let written = || {
        let marks = onlooker.fetch_watermarks("topic", 0, Duration::from_secs(10));
        marks.expect("an answer").1
    };
    let record = |value: &'static str| Outgoing {
        topic: "topic".to_owned(),
        partition: Some(0),
        value: Some(value.into()),
        ..Outgoing::default()
    };

    let results = producer.publish(&[record("one"), record("two")]).await;
    assert_eq!(
        written(),
        1,
        "the broker has taken one of them: {results:?}"
    );
    assert!(
        matches!(results[0], Err(Error::Unavailable(_))),
        "{results:?}"
    );
    assert_eq!(results[1].as_ref().map(|at| at.offset).ok(), Some(0));

    let again = producer.publish(&[record("one")]).await;
    assert_eq!(again[0].as_ref().map(|at| at.offset).ok(), Some(1));
    assert_eq!(written(), 2);
}

#[tokio::test]
async fn kafka_producer_that_failed_for_good_is_replaced() {
    let Some(broker) = testkit::shared::kafka().await else {
        return;
    };
    let settings = Settings {
        brokers: broker.address(),
        ..Settings::default()
    };
    let log = KafkaLog::connect(settings).expect("settings that are right");
    let topic = TopicSpec {
        name: format!("topic-{:016x}", fastrand::u64(..)),
        partitions: 1,
        replication: 1,
        retention_ms: None,
        max_message_bytes: None,
    };
    let created = log.create_topics(std::slice::from_ref(&topic)).await;
    created.expect("a new topic");
    let record = Outgoing {
        topic: topic.name,
        ..Outgoing::default()
    };
    assert!(log.publish(vec![record.clone()]).await[0].is_ok());
    log.producer.break_for_good();
    let failed = log.publish(vec![record.clone()]).await;
    assert!(
        matches!(failed[0], Err(Error::Unavailable(_))),
        "{failed:?}"
    );
    assert!(log.publish(vec![record]).await[0].is_ok());
}
