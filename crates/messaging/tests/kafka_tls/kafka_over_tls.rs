//! Every way in to Kafka that the adapter offers, and what is said where there is none.

use std::path::Path;
use std::time::Duration;

use messaging::kafka::{KafkaLog, Settings};
use messaging::log::{Batch, Delivery, Error, EventLog, Reset, Subscription, TopicSpec};
use messaging::record::{Outgoing, Record, TopicPartition};
use testkit::{Door, PASSWORD, SecuredKafka, USER, eventually, shared};

/// How long a broken test may take.
const DEADLINE: Duration = Duration::from_secs(40);
/// How soon the log says why it is not there: before readiness stops waiting for it.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn ssl_carries_records_and_offsets() {
    if let Some(broker) = shared::secured_kafka().await {
        carries(settings(broker, Door::Ssl, &[])).await;
    }
}

#[tokio::test]
async fn ssl_with_a_certificate_of_the_clients_own() {
    let Some(broker) = shared::secured_kafka().await else {
        return;
    };
    let (certificate, key) = broker.client();
    let read = |file: &Path| std::fs::read_to_string(file).expect("a file of the broker's");
    // The key as a text, as it comes from a secret in the environment; the certificate as a file.
    let shown = [
        (
            "ssl.certificate.location",
            certificate.display().to_string(),
        ),
        ("ssl.key.pem", read(&key)),
    ];
    let shown: Vec<_> = shown
        .iter()
        .map(|(name, it)| (*name, it.as_str()))
        .collect();
    carries(settings(broker, Door::Mutual, &shown)).await;
    let silent = connected(settings(broker, Door::Mutual, &[]));
    unavailable(&silent, "does not accept this client's certificate").await;
}

#[tokio::test]
async fn sasl_plaintext_with_plain() {
    if let Some(broker) = shared::secured_kafka().await {
        let login = login("PLAIN", PASSWORD);
        carries(settings(broker, Door::SaslPlaintext, &login)).await;
    }
}

#[tokio::test]
async fn sasl_ssl_with_plain_and_scram() {
    let Some(broker) = shared::secured_kafka().await else {
        return;
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let login = login(mechanism, PASSWORD);
        carries(settings(broker, Door::SaslSsl, &login)).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_at_once_and_for_every_mechanism() {
    let Some(broker) = shared::secured_kafka().await else {
        return;
    };
    for (door, mechanism) in [
        (Door::SaslPlaintext, "PLAIN"),
        (Door::SaslSsl, "PLAIN"),
        (Door::SaslSsl, "SCRAM-SHA-256"),
        (Door::SaslSsl, "SCRAM-SHA-512"),
    ] {
        let log = connected(settings(broker, door, &login(mechanism, "wrong-password")));
        let why = unavailable(&log, "uthentication failed").await;
        assert!(why.starts_with("authentication failed: "), "{why}");
        assert!(!why.contains("wrong-password"), "{why}");
        let refused = log.publish(vec![record(&own("topic"), "x")]).await;
        assert!(
            matches!(&refused[0], Err(Error::Unavailable(why)) if why.contains("authentication failed")),
            "kept, to be tried again once the password is right: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_mechanism_that_the_broker_lacks_is_named() {
    if let Some(broker) = shared::secured_kafka().await {
        let login = login("SCRAM-SHA-512", PASSWORD);
        let log = connected(settings(broker, Door::SaslPlaintext, &login));
        let why = unavailable(&log, "SCRAM-SHA-512").await;
        assert!(why.starts_with("authentication failed: "), "{why}");
    }
}

#[tokio::test]
async fn an_unknown_authority_and_a_wrong_host_name_are_told_apart() {
    let Some(broker) = shared::secured_kafka().await else {
        return;
    };
    let stranger = broker.stranger().display().to_string();
    let unknown = settings(broker, Door::Ssl, &[("ssl.ca.location", &stranger)]);
    unavailable(&connected(unknown), "signed by nobody who is trusted here").await;
    // The system's own authorities, which did not sign it either.
    let mut probing = settings(broker, Door::Ssl, &[]);
    probing.client.remove("ssl.ca.location");
    unavailable(&connected(probing), "signed by nobody who is trusted here").await;
    let misnamed = settings(broker, Door::Misnamed, &[]);
    unavailable(&connected(misnamed), "names other hosts").await;
    // It is the name alone.
    let any_name = [("ssl.endpoint.identification.algorithm", "none")];
    carries(settings(broker, Door::Misnamed, &any_name)).await;
}

#[tokio::test]
async fn no_password_reaches_a_broker_that_is_not_trusted() {
    let Some(broker) = shared::secured_kafka().await else {
        return;
    };
    let stranger = broker.stranger().display().to_string();
    let mut login = login("PLAIN", "wrong-password").to_vec();
    login.push(("ssl.ca.location", &stranger));
    let log = connected(settings(broker, Door::SaslSsl, &login));
    // Were the password sent, it would be the password that is refused.
    unavailable(&log, "signed by nobody who is trusted here").await;
}

#[tokio::test]
async fn the_wrong_protocol_for_a_listener_is_hinted_at() {
    let Some(broker) = shared::secured_kafka().await else {
        return;
    };
    let mut tls_where_none_is = settings(broker, Door::SaslPlaintext, &[]);
    tls_where_none_is.client = settings(broker, Door::Ssl, &[]).client;
    unavailable(&connected(tls_where_none_is), "SSL handshake failed").await;
    for wants_more in [Door::Ssl, Door::SaslPlaintext, Door::SaslSsl] {
        let mut plain = settings(broker, wants_more, &[]);
        plain.client.clear();
        unavailable(&connected(plain), "look at security.protocol").await;
    }
}

#[tokio::test]
async fn files_that_are_not_there_and_halves_of_a_login_are_refused_by_name() {
    let Some(broker) = shared::secured_kafka().await else {
        return;
    };
    let no_password = [("sasl.mechanism", "PLAIN"), ("sasl.username", USER)];
    for (door, properties, says) in [
        (
            Door::Ssl,
            &[("ssl.ca.location", "/nowhere/ca.pem")][..],
            "ssl.ca.location",
        ),
        (
            Door::Ssl,
            &[("ssl.ca.pem", "no certificate")][..],
            "ssl.ca.pem",
        ),
        (Door::SaslSsl, &no_password[..], "sasl.password"),
    ] {
        match KafkaLog::connect(settings(broker, door, properties)) {
            Err(Error::Refused(why)) => assert!(why.contains(says), "{says}: {why}"),
            other => panic!("{says}: {:?}", other.err()),
        }
    }
}

fn login<'a>(mechanism: &'a str, password: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("sasl.mechanism", mechanism),
        ("sasl.username", USER),
        ("sasl.password", password),
    ]
}

/// For this way in, trusting the broker's authority unless told otherwise.
fn settings(broker: &SecuredKafka, door: Door, properties: &[(&str, &str)]) -> Settings {
    let mut settings = Settings {
        brokers: broker.address(door),
        metadata_refresh_ms: 500,
        ..Settings::default()
    };
    let protocol = match door {
        Door::Ssl | Door::Mutual | Door::Misnamed => "ssl",
        Door::SaslPlaintext => "sasl_plaintext",
        Door::SaslSsl => "sasl_ssl",
    };
    let authority = broker.authority().display().to_string();
    let mut set = |name: &str, value: &str| {
        settings.client.insert(name.to_owned(), value.to_owned());
    };
    set("security.protocol", protocol);
    if protocol.ends_with("ssl") {
        set("ssl.ca.location", &authority);
    }
    for (name, value) in properties {
        set(name, value);
    }
    settings
}

fn connected(settings: Settings) -> KafkaLog {
    KafkaLog::connect(settings).expect("settings that are right")
}

/// Create, publish, join, commit, read, ask for offsets, delete: each client of the adapter has a connection of its own.
async fn carries(settings: Settings) {
    let log = connected(settings);
    let (topic, group) = (own("topic"), own("group"));
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: 1,
        replication: 1,
        retention_ms: None,
        max_message_bytes: None,
    };
    log.create_topics(&[spec]).await.expect("a new topic");
    let batch = vec![record(&topic, "one"), record(&topic, "two")];
    for taken in log.publish(batch).await {
        taken.expect("a record that is taken");
    }
    let partition = TopicPartition::new(topic.clone(), 0);
    let subscription = Subscription {
        group: group.clone(),
        topics: vec![topic.clone()],
        batch_max: 100,
        fetch_wait_max_ms: 100,
        reset: Reset::Earliest,
        own_topics: Vec::new(),
    };
    let mut member = log.join(subscription).await.expect("a member");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let next = tokio::time::timeout(DEADLINE, member.next()).await;
        if let Delivery::Batch(Batch { records, .. }) = next.expect("in time").expect("a delivery")
        {
            seen.extend(records);
            member.ready(&partition);
        }
    }
    assert_eq!(values(&seen), [&b"one"[..], b"two"]);
    let committed = member.commit(&[(partition.clone(), 1)]).await;
    committed.expect("a commit");
    member.leave().await.expect("left");
    let offsets = log.committed(&group, &topic).await;
    assert_eq!(offsets.expect("the group's offsets"), [(0, Some(1))]);
    let read = log.read(&partition, 1, 10, 1_000).await;
    assert_eq!(values(&read.expect("a record")), [b"two"]);
    log.delete_topic(&topic).await.expect("deleted");
}

fn record(topic: &str, value: &str) -> Outgoing {
    Outgoing {
        topic: topic.to_owned(),
        value: Some(value.to_owned().into()),
        ..Outgoing::default()
    }
}

fn values(records: &[Record]) -> Vec<&[u8]> {
    records
        .iter()
        .filter_map(|record| record.value.as_deref())
        .collect()
}

fn own(kind: &str) -> String {
    format!("{kind}-{:016x}", fastrand::u64(..))
}

/// What the log says when it is asked whether it is there, which must come soon.
async fn unavailable(log: &KafkaLog, says: &str) -> String {
    eventually(DEADLINE, says, async || {
        let asked = tokio::time::timeout(SOON, log.ping()).await;
        match asked {
            Ok(Err(Error::Unavailable(why))) if why.contains(says) => Ok(why),
            other => anyhow::bail!("{other:?}"),
        }
    })
    .await
}
