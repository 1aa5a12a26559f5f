//! The event log in the shop's own SQLite file: durable, ordered, with groups and retention, for one `serve` and the commands beside it.
//! Not a Kafka: no replication, no groups across processes, no transactions.
//! The binary makes it from the file's one writer and its readers.

mod appender;
mod assignor;
mod coordinator;
mod fetch;
mod headers;
mod heads;
mod member;
mod schema;
mod settings;
mod topics;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::backoff::next_look;
use crate::log::{
    Acknowledged, Error, EventLog, Membership, Subscription, TopicInfo, TopicSpec, Watermarks,
};
use crate::record::{Outgoing, Record, TopicPartition};

use self::appender::Job;
use self::coordinator::Coordinator;
use self::heads::Heads;
pub use self::settings::Settings;
pub use self::writer::{Failure, Flush, Turn, Writer};

#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

/// What the log and its members have in common.
struct Shared {
    writer: Writer,
    reader: DatabaseConnection,
    settings: Settings,
    heads: Arc<Heads>,
    coordinator: Arc<Coordinator>,
    jobs: mpsc::Sender<Job>,
}

impl Shared {
    fn poll(&self) -> Duration {
        Duration::from_millis(self.settings.poll_ms.max(1))
    }

    /// The pause after one of `last` that ended with a look which found something or not.
    fn next_poll(&self, last: Duration, found: bool) -> Duration {
        let seldom = Duration::from_millis(self.settings.idle_poll_max_ms);
        next_look(last, found, self.poll(), seldom)
    }

    async fn commit(
        &self,
        group: String,
        offsets: Vec<(TopicPartition, i64)>,
    ) -> Result<(), Error> {
        let (done, settled) = oneshot::channel();
        let job = Job::Commit {
            group,
            offsets,
            done,
        };
        self.jobs.send(job).await.map_err(|_| closed())?;
        settled.await.map_err(|_| closed())?
    }
}

impl EmbeddedLog {
    /// `writer`: the one that everything in the process which writes this file shares; `reader`: other connections.
    /// Must be called within a tokio runtime: it starts the task that appends.
    #[must_use]
    pub fn new(writer: Writer, reader: DatabaseConnection, settings: Settings) -> Self {
        let heads = Arc::new(Heads::new());
        let (jobs, queue) = mpsc::channel(settings.publish_queue_max.max(1));
        tokio::spawn(appender::run(
            writer.clone(),
            settings.clone(),
            Arc::clone(&heads),
            queue,
        ));
        let coordinator = Coordinator::new(settings.revoke_drain_ms);
        Self {
            shared: Arc::new(Shared {
                writer,
                reader,
                settings,
                heads,
                coordinator,
                jobs,
            }),
        }
    }

    /// Creates the log's tables where they are missing.
    pub async fn create_schema(&self) -> Result<(), Error> {
        schema::create(&self.shared.writer).await
    }

    /// Removes what is older than its topic keeps at `now`; the number of records removed.
    pub async fn prune_once(&self, now: jiff::Timestamp) -> Result<u64, Error> {
        let shared = &self.shared;
        let batch_max = shared.settings.prune_batch_max;
        topics::prune(
            &shared.writer,
            &shared.reader,
            now.as_millisecond(),
            batch_max,
        )
        .await
    }

    async fn partition(&self, at: &TopicPartition) -> Result<schema::PartitionRow, Error> {
        let topic = std::slice::from_ref(&at.topic);
        let rows = schema::partitions(&self.shared.reader, topic).await?;
        if rows.is_empty() {
            return Err(Error::UnknownTopic(at.topic.clone()));
        }
        let count = rows.len();
        rows.into_iter()
            .find(|row| row.at == *at)
            .ok_or_else(|| Error::Refused(format!("{} has {count} partitions, no {at}", at.topic)))
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn publish(&self, batch: Vec<Outgoing>) -> Vec<Result<Acknowledged, Error>> {
        let count = batch.len();
        if count == 0 {
            return Vec::new();
        }
        let (done, results) = oneshot::channel();
        let sent = self.shared.jobs.send(Job::Publish { batch, done }).await;
        match (sent, results.await) {
            (Ok(()), Ok(results)) => results,
            _ => (0..count).map(|_| Err(closed())).collect(),
        }
    }

    async fn join(&self, subscription: Subscription) -> Result<Box<dyn Membership>, Error> {
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(member::Member::new(shared, subscription)))
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        offset: i64,
        max: usize,
        wait_ms: u64,
    ) -> Result<Vec<Record>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms);
        let mut bell = self.shared.heads.listen();
        let row = self.partition(partition).await?;
        let from = offset.max(row.low);
        loop {
            let bytes_max = self.shared.settings.fetch_bytes_max;
            let records =
                fetch::page(&self.shared.reader, row.id, partition, from, max, bytes_max).await?;
            if !records.is_empty() || Instant::now() >= until {
                return Ok(records);
            }
            let poll = (Instant::now() + self.shared.poll()).min(until);
            tokio::select! {
                _ = bell.changed() => {}
                () = tokio::time::sleep_until(poll) => {}
            }
        }
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        topics::list(&self.shared.reader).await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, Error> {
        topics::describe(&self.shared.reader, name).await
    }

    async fn max_message_bytes(&self, topics: &[String]) -> Result<Vec<i64>, Error> {
        let of_the_log = self.shared.settings.max_message_bytes;
        topics::max_message_bytes(&self.shared.reader, topics, of_the_log).await
    }

    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        topics::create(&self.shared.writer, topics).await
    }

    async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        topics::delete(&self.shared.writer, name).await?;
        self.shared.heads.forget(name);
        Ok(())
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error> {
        let rows = schema::partitions(&self.shared.reader, &[topic.to_owned()]).await?;
        if rows.is_empty() {
            return Err(Error::UnknownTopic(topic.to_owned()));
        }
        let watermarks = |row: schema::PartitionRow| Watermarks {
            partition: row.at.partition,
            low: row.low,
            high: row.next,
        };
        Ok(rows.into_iter().map(watermarks).collect())
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<(i32, Option<i64>)>, Error> {
        let offsets = topics::committed(&self.shared.reader, group, topic).await?;
        if offsets.is_empty() {
            return Err(Error::UnknownTopic(topic.to_owned()));
        }
        Ok(offsets)
    }

    async fn ping(&self) -> Result<(), Error> {
        topics::list(&self.shared.reader).await.map(|_| ())
    }
}

fn closed() -> Error {
    Error::Unavailable("the embedded log is shutting down".to_owned())
}
