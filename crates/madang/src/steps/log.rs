//! Publishing, joining a group, committing, going back and leaving as steps, publishing under the name of whose hand it is in.

use std::sync::Arc;

use async_trait::async_trait;
use messaging::failpoint::{self, Injected};
use messaging::log::{
    Acknowledged, Delivery, Error, EventLog, Membership, Subscription, TopicInfo, TopicSpec,
    Watermarks,
};
use messaging::record::{Outgoing, Record, TopicPartition};

use super::{Hand, step};

pub struct Steps {
    log: Arc<dyn EventLog>,
    publish: &'static str,
}

fn away(injected: Injected) -> Error {
    Error::Unavailable(injected.to_string())
}

impl Steps {
    pub fn new(log: Arc<dyn EventLog>, hand: Hand) -> Self {
        let publish = match hand {
            Hand::Relay => "relay.publish",
            Hand::Scheduler => "scheduler.publish",
            Hand::Consumers => "consumers.publish",
        };
        Self { log, publish }
    }
}

#[async_trait]
impl EventLog for Steps {
    async fn publish(&self, batch: Vec<Outgoing>) -> Vec<Result<Acknowledged, Error>> {
        let records = batch.len();
        let failed = |injected: Injected| vec![Err(away(injected)); records];
        if let Err(injected) = failpoint::before(self.publish).await {
            return failed(injected);
        }
        let results = self.log.publish(batch).await;
        match failpoint::after(self.publish).await {
            Ok(()) => results,
            Err(injected) => failed(injected),
        }
    }

    async fn join(&self, subscription: Subscription) -> Result<Box<dyn Membership>, Error> {
        let joined: Result<_, Error> = step!("consumers.join", away, self.log.join(subscription));
        Ok(Box::new(Member(joined?)))
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        offset: i64,
        max: usize,
        wait_ms: u64,
    ) -> Result<Vec<Record>, Error> {
        self.log.read(partition, offset, max, wait_ms).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        self.log.topics().await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, Error> {
        self.log.topic(name).await
    }

    async fn max_message_bytes(&self, topics: &[String]) -> Result<Vec<i64>, Error> {
        self.log.max_message_bytes(topics).await
    }

    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.log.create_topics(topics).await
    }

    async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        self.log.delete_topic(name).await
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error> {
        self.log.watermarks(topic).await
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<(i32, Option<i64>)>, Error> {
        self.log.committed(group, topic).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.log.ping().await
    }
}

struct Member(Box<dyn Membership>);

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Result<Delivery, Error> {
        self.0.next().await
    }

    fn ready(&mut self, partition: &TopicPartition) {
        self.0.ready(partition);
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Error> {
        step!("consumers.seek", away, self.0.seek(partition, offset))
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        step!("consumers.commit", away, self.0.commit(offsets))
    }

    async fn leave(self: Box<Self>) -> Result<(), Error> {
        step!("consumers.leave", away, self.0.leave())
    }
}
