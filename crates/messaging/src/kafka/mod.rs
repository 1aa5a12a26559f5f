//! The event log on Apache Kafka, by librdkafka.
//! It makes no promise of its own: acknowledged means by all in-sync replicas, placed means by Java's murmur2.
//! The binary makes it from the settings; no call here needs a broker to be there yet, only to answer.

mod admin;
mod bell;
mod certificate;
mod errors;
mod member;
mod producer;
mod pump;
mod reader;
mod rebalance;
mod records;
mod reporter;
mod settings;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::log::{
    Acknowledged, Error, EventLog, Membership, Subscription, TopicInfo, TopicSpec, Watermarks,
};
use crate::record::{Outgoing, Record, TopicPartition};

use self::admin::Admin;
use self::producer::Producer;
use self::reader::Readers;
pub use self::settings::{Settings, WrongProperty};

pub struct KafkaLog {
    settings: Settings,
    producer: Producer,
    admin: Admin,
    readers: Arc<Readers>,
    /// Topics that have been seen: publishing to another asks first, as a broker may create what it does not know.
    seen: Mutex<HashSet<String>>,
    /// Held while that is asked: batches go on in the order in which they came.
    turn: tokio::sync::Mutex<()>,
}

impl KafkaLog {
    /// Checks the settings and makes the clients; waits for no broker. Must be called within a tokio runtime.
    pub fn connect(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self {
            producer: Producer::new(settings.producer(), settings.message_timeout_ms)?,
            admin: Admin::new(&settings)?,
            readers: Arc::new(Readers::new(&settings)),
            seen: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            settings,
        })
    }

    /// Why nothing can be published to some of these topics.
    async fn unseen(&self, batch: &[Outgoing]) -> HashMap<String, Error> {
        let topics: BTreeSet<&str> = batch.iter().map(|record| record.topic.as_str()).collect();
        let mut unseen = HashMap::new();
        // Tried first: where nobody is before us this must not wait, not even for the scheduler's sake.
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => self.turn.lock().await,
        };
        for name in topics {
            if self.seen.lock().contains(name) {
                continue;
            }
            match self.admin.topic(name).await {
                Ok(_) => {
                    self.seen.lock().insert(name.to_owned());
                }
                Err(error) => {
                    unseen.insert(name.to_owned(), error);
                }
            }
        }
        unseen
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn publish(&self, batch: Vec<Outgoing>) -> Vec<Result<Acknowledged, Error>> {
        let unseen = self.unseen(&batch).await;
        let (known, unknown): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .enumerate()
            .partition(|(_, record)| !unseen.contains_key(&record.topic));
        let (mut places, records): (Vec<usize>, Vec<Outgoing>) = known.into_iter().unzip();
        let mut results = self.producer.publish(&records).await;
        for (record, result) in records.iter().zip(&results) {
            if let Err(Error::UnknownTopic(_)) = result {
                self.seen.lock().remove(&record.topic);
            }
        }
        for (place, record) in unknown {
            if let Some(error) = unseen.get(&record.topic) {
                places.push(place);
                results.push(Err(error.clone()));
            }
        }
        let mut placed: Vec<_> = places.into_iter().zip(results).collect();
        placed.sort_by_key(|(place, _)| *place);
        placed.into_iter().map(|(_, result)| result).collect()
    }

    async fn join(&self, subscription: Subscription) -> Result<Box<dyn Membership>, Error> {
        Ok(Box::new(member::join(&self.settings, &subscription)?))
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        offset: i64,
        max: usize,
        wait_ms: u64,
    ) -> Result<Vec<Record>, Error> {
        let readers = Arc::clone(&self.readers);
        let at = partition.clone();
        let wait = Duration::from_millis(wait_ms);
        blocking(move || readers.read(&at, offset, max, wait)).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        self.admin.topics().await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, Error> {
        self.admin.topic(name).await
    }

    async fn max_message_bytes(&self, topics: &[String]) -> Result<Vec<i64>, Error> {
        self.admin.max_message_bytes(topics).await
    }

    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.admin.create(topics).await
    }

    async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        self.seen.lock().remove(name);
        self.admin.delete(name).await
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error> {
        self.admin.watermarks(topic).await
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<(i32, Option<i64>)>, Error> {
        self.admin.committed(group, topic).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.admin.ping().await
    }
}

/// librdkafka's requests block; they are kept off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Unavailable(format!("kafka request: {error}"))),
    }
}
