//! What the Kafka adapter promises beyond the contract: brokers that come and go, other ways to share a group, foreign records.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::Duration;

use messaging::kafka::{KafkaLog, Settings};
use messaging::log::Error;
use messaging::record::TopicPartition;
use testkit::{Kafka, eventually, programs, shared};
use tokio::io::AsyncWriteExt;

use crate::bed::{Bed, DEADLINE, at, own, patient, spec, values};
use crate::contract::rebalance;

#[tokio::test]
async fn kafka_may_start_after_everything_else_and_come_back() {
    let Some(broker) = own_broker().await else {
        return;
    };
    let mut broker = broker;
    broker.stop().await.expect("stopped");
    let log = KafkaLog::connect(Settings {
        brokers: broker.address(),
        message_timeout_ms: 2_000,
        request_timeout_ms: 1_000,
        metadata_refresh_ms: 500,
        ..Settings::default()
    });
    let bed = Bed::of(log.expect("no broker is needed for that"));
    let (topic, group) = (own("topic"), own("group"));
    let mut seat = bed.join(&group, &topic).await;
    let early = tokio::time::timeout(Duration::from_millis(300), seat.membership.next()).await;
    assert!(early.is_err(), "it waits: {early:?}");
    assert!(matches!(bed.log.ping().await, Err(Error::Unavailable(_))));
    let refused = bed.log.publish(vec![at(&topic, 0, "x")]).await;
    assert!(
        matches!(refused[0], Err(Error::Unavailable(_))),
        "{refused:?}"
    );

    for round in 0..2 {
        broker.restart().await.expect("a broker");
        eventually(DEADLINE, "the log is there", async || {
            Ok(bed.log.create_topics(&[spec(&topic, 1)]).await?)
        })
        .await;
        let value = format!("round {round}");
        eventually(DEADLINE, "records are taken", async || {
            bed.log
                .publish(vec![at(&topic, 0, &value)])
                .await
                .remove(0)?;
            Ok(())
        })
        .await;
        // One whose acknowledgement came too late lies there twice.
        let offset = loop {
            let next = seat.take(1).await;
            if let Some(at) = values(&next).iter().position(|it| *it == value) {
                break next[at].offset;
            }
        };
        seat.commit(&topic, 0, offset + 1).await;
    }
    seat.leave().await;
}

#[tokio::test]
async fn kafka_outage_fails_what_is_published_in_time_and_ends_no_membership() {
    let Some(mut broker) = own_broker().await else {
        return;
    };
    let bed = |message_timeout_ms, request_timeout_ms| {
        let log = KafkaLog::connect(Settings {
            brokers: broker.address(),
            message_timeout_ms,
            request_timeout_ms,
            ..patient()
        });
        Bed::of(log.expect("settings that are right"))
    };
    let (bed, steady) = (bed(1_500, 1_500), bed(60_000, 60_000));
    let topic = steady.topic(1).await;
    steady.fill(&topic, 3).await;
    let mut seat = bed.join(&own("group"), &topic).await;
    seat.take(3).await;
    eventually(DEADLINE, "the topic is known to both", async || {
        bed.log
            .publish(vec![at(&topic, 0, "fourth")])
            .await
            .remove(0)?;
        Ok(())
    })
    .await;
    broker.kill().expect("killed");

    for _ in 0..2 {
        let partition = TopicPartition::new(topic.clone(), 0);
        let committed = seat.membership.commit(&[(partition, 3)]).await;
        assert!(
            matches!(committed, Err(Error::Unavailable(_))),
            "{committed:?}"
        );
    }
    let results = bed.log.publish(vec![at(&topic, 0, "lost"); 10]).await;
    assert_eq!(results.len(), 10);
    for result in results {
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }
    broker.restart().await.expect("a broker");
    eventually(DEADLINE, "records are taken again", async || {
        bed.log
            .publish(vec![at(&topic, 0, "again")])
            .await
            .remove(0)?;
        Ok(())
    })
    .await;
    loop {
        let records = seat.take(1).await;
        let values = values(&records);
        assert!(!values.contains(&"lost"), "{values:?}");
        if values.contains(&"again") {
            break;
        }
    }
    eventually(DEADLINE, "offsets are committed again", async || {
        let partition = TopicPartition::new(topic.clone(), 0);
        Ok(seat.membership.commit(&[(partition, 4)]).await?)
    })
    .await;

    broker.kill().expect("killed");
    // Without a broker to tell, it ends all the same.
    let left = tokio::time::timeout(DEADLINE, seat.membership.leave()).await;
    let _ = left.expect("it does not hang");
}

#[tokio::test]
async fn kafka_members_share_cooperatively() {
    share("cooperative-sticky").await;
}

#[tokio::test]
async fn kafka_members_share_by_the_brokers_own_protocol() {
    share("broker").await;
}

async fn share(assignor: &str) {
    let change = |settings: &mut Settings| settings.assignor = assignor.to_owned();
    if let Some(bed) = Bed::kafka_with(change).await {
        rebalance::two_members_share_and_lose_nothing(&bed).await;
        rebalance::a_member_that_leaves_hands_over_at_once(&bed).await;
        rebalance::a_revoked_partition_cannot_be_committed(&bed).await;
    }
}

#[tokio::test]
async fn kafka_records_from_anyone_are_read_as_they_are() {
    let Some(broker) = shared::kafka().await else {
        return;
    };
    let Ok(kcat) = programs::find("kcat") else {
        return shared::not_run("kcat is not installed");
    };
    let Some(bed) = Bed::kafka().await else {
        return;
    };
    let topic = bed.topic(1).await;
    let mut child = tokio::process::Command::new(kcat)
        .args(["-P", "-b", &broker.address(), "-t", &topic, "-p", "0", "-H"])
        .arg(OsStr::from_bytes(b"\xff\xfe=\x80"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(b"\xc3\x28 not text\n").await.expect("fed");
    drop(stdin);
    assert!(child.wait().await.expect("kcat ends").success());

    let records = bed.join(&own("group"), &topic).await.take(1).await;
    assert_eq!(records[0].value.as_deref(), Some(&b"\xc3\x28 not text"[..]));
    let headers: Vec<_> = records[0].headers.iter().collect();
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[0].0, "\u{fffd}\u{fffd}");
    assert_eq!(headers[0].1.map(|v| &v[..]), Some(&b"\x80"[..]));
}

#[tokio::test]
async fn kafka_settings_that_cannot_work_are_named() {
    let mut settings = Settings {
        brokers: "127.0.0.1:1".to_owned(),
        ..Settings::default()
    };
    let wrong = [("no.such.property", "1"), ("fetch.min.bytes", "many")];
    for (name, value) in wrong {
        settings.client = [(name.to_owned(), value.to_owned())].into();
        let Err(Error::Refused(why)) = KafkaLog::connect(settings.clone()) else {
            panic!("{name} is taken");
        };
        assert!(why.contains(name), "{why}");
    }
    settings.client.clear();
    settings.brokers.clear();
    assert!(KafkaLog::connect(settings).is_err());
}

/// One that may be stopped.
async fn own_broker() -> Option<Kafka> {
    // Where the shared one cannot be had or is not wanted, neither can this one.
    shared::kafka().await?;
    match Kafka::start().await {
        Ok(broker) => Some(broker),
        Err(error) => {
            shared::not_run(&format!("Kafka: {error:#}"));
            None
        }
    }
}
