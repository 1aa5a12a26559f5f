//! What a test of the event log stands on: a log with topics and groups of the test's own, and a member that is easy to drive.
//! Used by all tests here.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use messaging::embedded::{self, EmbeddedLog, Writer};
use messaging::kafka::{self, KafkaLog};
use messaging::log::{Delivery, EventLog, Membership, Reset, Subscription, TopicSpec};
use messaging::record::{Outgoing, Record, TopicPartition};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions as _, Connection as _};
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use testkit::eventually;

/// How long a broken test may take.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Bed {
    pub log: Arc<dyn EventLog>,
    /// Keeps the embedded log's file.
    _folder: Option<tempfile::TempDir>,
}

impl Bed {
    pub async fn embedded() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = open(&folder.path().join("log.db")).await;
        Some(Self {
            _folder: Some(folder),
            ..Self::of(log)
        })
    }

    pub fn of(log: impl EventLog) -> Self {
        Self::of_arc(Arc::new(log))
    }

    pub fn of_arc(log: Arc<dyn EventLog>) -> Self {
        Self { log, _folder: None }
    }

    /// `None`: there is no Kafka here, and that was said.
    pub async fn kafka() -> Option<Self> {
        Self::kafka_with(|_| {}).await
    }

    pub async fn kafka_with(change: impl FnOnce(&mut kafka::Settings)) -> Option<Self> {
        let broker = testkit::shared::kafka().await?;
        let mut settings = kafka::Settings {
            brokers: broker.address(),
            metadata_refresh_ms: 500,
            ..patient()
        };
        change(&mut settings);
        let log = KafkaLog::connect(settings).expect("settings that are right");
        Some(Self::of(log))
    }

    /// A new topic of this name's kind.
    pub async fn topic(&self, partitions: i32) -> String {
        self.topic_with(partitions, None).await
    }

    pub async fn topic_with(&self, partitions: i32, max_message_bytes: Option<i64>) -> String {
        let mut topic = spec(&own("topic"), partitions);
        topic.max_message_bytes = max_message_bytes;
        let created = self.log.create_topics(std::slice::from_ref(&topic)).await;
        created.expect("a new topic");
        topic.name
    }

    pub async fn publish(&self, batch: Vec<Outgoing>) -> Vec<(i32, i64)> {
        let results = self.log.publish(batch).await;
        results
            .into_iter()
            .map(|result| result.map(|it| (it.partition, it.offset)))
            .collect::<Result<_, _>>()
            .expect("all records are taken")
    }

    /// `count` records with values `0..count` in partition 0.
    pub async fn fill(&self, topic: &str, count: usize) {
        let batch = (0..count).map(|n| at(topic, 0, &n.to_string())).collect();
        self.publish(batch).await;
    }

    pub async fn join(&self, group: &str, topic: &str) -> Seat {
        self.join_with(group, topic, |_| {}).await
    }

    pub async fn join_with(
        &self,
        group: &str,
        topic: &str,
        change: impl FnOnce(&mut Subscription),
    ) -> Seat {
        let mut subscription = Subscription {
            group: group.to_owned(),
            topics: vec![topic.to_owned()],
            batch_max: 100,
            fetch_wait_max_ms: 100,
            reset: Reset::Earliest,
            own_topics: Vec::new(),
        };
        change(&mut subscription);
        let membership = self.log.join(subscription).await.expect("a member");
        Seat {
            membership,
            owned: BTreeSet::new(),
        }
    }

    /// The group's committed offset of each partition.
    pub async fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let committed = self.log.committed(group, topic).await;
        let committed = committed.expect("committed offsets").into_iter();
        committed.map(|(_, offset)| offset).collect()
    }
}

pub async fn open(file: &Path) -> EmbeddedLog {
    open_with(file, embedded::Settings::default()).await
}

pub async fn open_with(file: &Path, settings: embedded::Settings) -> EmbeddedLog {
    let log = EmbeddedLog::new(
        Writer::new(pool(file, 1).await, 4, DEADLINE),
        pool(file, 4).await,
        settings,
    );
    log.create_schema().await.expect("the log's tables");
    log
}

pub async fn pool(file: &Path, connections: u32) -> DatabaseConnection {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(DEADLINE)
        .pragma("wal_autocheckpoint", "10000")
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .before_acquire(|connection, _| {
            let is_clean = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_clean) })
        })
        .connect_with(options)
        .await;
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.expect("the file opens"))
}

/// A busy machine is no fault of what is tested: a broker that runs is given time to answer.
pub fn patient() -> kafka::Settings {
    let patience_ms = DEADLINE.as_millis() as u64;
    kafka::Settings {
        message_timeout_ms: patience_ms,
        request_timeout_ms: patience_ms,
        leave_timeout_ms: patience_ms,
        ..kafka::Settings::default()
    }
}

/// A name that no other test has, in this run or another on the same broker.
pub fn own(kind: &str) -> String {
    format!("{kind}-{:016x}", fastrand::u64(..))
}

pub fn spec(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        retention_ms: None,
        max_message_bytes: None,
    }
}

pub fn keyed(topic: &str, key: &str, value: &str) -> Outgoing {
    Outgoing {
        topic: topic.to_owned(),
        key: Some(key.to_owned().into()),
        value: Some(value.to_owned().into()),
        ..Outgoing::default()
    }
}

pub fn at(topic: &str, partition: i32, value: &str) -> Outgoing {
    Outgoing {
        partition: Some(partition),
        key: None,
        ..keyed(topic, "", value)
    }
}

pub fn value(record: &Record) -> &str {
    let bytes = record.value.as_deref().expect("a value");
    std::str::from_utf8(bytes).expect("a text")
}

pub fn values(records: &[Record]) -> Vec<&str> {
    records.iter().map(value).collect()
}

/// A member whose revocations are let go at once and whose batches are settled as they come.
pub struct Seat {
    pub membership: Box<dyn Membership>,
    pub owned: BTreeSet<TopicPartition>,
}

impl Seat {
    /// The next delivery, as it is.
    pub async fn next(&mut self) -> Delivery {
        let next = tokio::time::timeout(DEADLINE, self.membership.next()).await;
        let delivery = next.expect("a delivery in time").expect("a membership");
        match &delivery {
            Delivery::Assigned(partitions) => self.owned.extend(partitions.iter().cloned()),
            Delivery::Revoked(revocation) => {
                for partition in &revocation.partitions {
                    self.owned.remove(partition);
                }
            }
            Delivery::Batch(_) | Delivery::Stopped(..) => {}
        }
        delivery
    }

    /// The next batch, not settled.
    pub async fn batch(&mut self) -> Vec<Record> {
        loop {
            match self.next().await {
                Delivery::Batch(batch) => return batch.records,
                Delivery::Revoked(revocation) => revocation.done(),
                Delivery::Assigned(_) => {}
                Delivery::Stopped(partition, error) => panic!("{partition} stopped: {error}"),
            }
        }
    }

    /// At least `count` records, each batch settled.
    pub async fn take(&mut self, count: usize) -> Vec<Record> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let records = self.batch().await;
            self.membership.ready(&records[0].topic_partition());
            taken.extend(records);
        }
        taken
    }

    /// Lives on until it holds `count` partitions.
    pub async fn hold(&mut self, count: usize) {
        while self.owned.len() != count {
            match self.next().await {
                Delivery::Revoked(revocation) => revocation.done(),
                Delivery::Batch(batch) => panic!("{} has records", batch.partition),
                _ => {}
            }
        }
    }

    pub async fn commit(&mut self, topic: &str, partition: i32, offset: i64) {
        let at = TopicPartition::new(topic, partition);
        // What may pass is tried again, as the runtime does: a coordinator that has just come back is dialled after a pause.
        let committed = eventually(DEADLINE, "a commit is answered", async || {
            let committed = self.membership.commit(&[(at.clone(), offset)]).await;
            match committed {
                Err(error) if error.is_transient() => Err(error.into()),
                answered => Ok(answered),
            }
        })
        .await;
        committed.expect("a commit");
    }

    pub async fn leave(self) {
        self.membership.leave().await.expect("left");
    }
}
