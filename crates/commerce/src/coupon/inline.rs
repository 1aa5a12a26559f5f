//! coupon-issue-events without a log, for `events.publisher = inline`: what the scheduler publishes is decided on the spot.
//! Not a log: it keeps nothing, so nobody joins or reads it. The binary gives it to the scheduler in the log's place.

use std::sync::Arc;

use async_trait::async_trait;
use messaging::consumer::{Event, Handler, Outcome, Verdict};
use messaging::envelope::{Identity, Origin};
use messaging::log::{
    Acknowledged, Error, EventLog, Membership, Subscription, TopicInfo, TopicSpec, Watermarks,
};
use messaging::record::{Outgoing, Record, TimestampType, TopicPartition};

use super::IssueHandler;

pub struct InlineTopic {
    handler: Arc<IssueHandler>,
}

impl InlineTopic {
    #[must_use]
    pub fn new(handler: Arc<IssueHandler>) -> Self {
        Self { handler }
    }
}

/// The message as the consumer would have met it.
fn event(outgoing: Outgoing) -> Event {
    let origin = Origin {
        topic: outgoing.topic.clone(),
        partition: 0,
        offset: 0,
    };
    let record = Record {
        topic: outgoing.topic,
        partition: 0,
        offset: 0,
        timestamp_ms: outgoing.timestamp_ms.unwrap_or_default(),
        timestamp_type: TimestampType::CreateTime,
        key: outgoing.key,
        value: outgoing.value,
        headers: outgoing.headers,
    };
    Event {
        identity: Identity::of(&record, &origin),
        record,
        origin,
        attempt: 1,
    }
}

fn settled(outcome: Outcome) -> Result<Acknowledged, Error> {
    match outcome {
        Outcome::Done => Ok(Acknowledged {
            partition: 0,
            offset: 0,
        }),
        Outcome::Retry { failure, .. } => Err(Error::Unavailable(failure.message)),
        Outcome::Dead(failure) => Err(Error::Refused(failure.message)),
    }
}

fn no_log<T>() -> Result<T, Error> {
    Err(Error::Refused(
        "there is no event log: events.publisher is inline".into(),
    ))
}

#[async_trait]
impl EventLog for InlineTopic {
    async fn publish(&self, batch: Vec<Outgoing>) -> Vec<Result<Acknowledged, Error>> {
        let events: Vec<Event> = batch.into_iter().map(event).collect();
        match self.handler.handle(&events).await {
            Verdict::Each(outcomes) => outcomes.into_iter().map(settled).collect(),
            Verdict::RetryAll(failure) | Verdict::Suspect(failure) => {
                let error = Error::Unavailable(failure.message);
                events.iter().map(|_| Err(error.clone())).collect()
            }
            Verdict::Rewind { .. } => events.iter().map(|_| no_log()).collect(),
        }
    }

    async fn join(&self, _: Subscription) -> Result<Box<dyn Membership>, Error> {
        no_log()
    }

    async fn read(
        &self,
        _: &TopicPartition,
        _: i64,
        _: usize,
        _: u64,
    ) -> Result<Vec<Record>, Error> {
        no_log()
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        Ok(Vec::new())
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, Error> {
        Err(Error::UnknownTopic(name.into()))
    }

    async fn max_message_bytes(&self, _: &[String]) -> Result<Vec<i64>, Error> {
        no_log()
    }

    async fn create_topics(&self, _: &[TopicSpec]) -> Result<(), Error> {
        no_log()
    }

    async fn delete_topic(&self, _: &str) -> Result<(), Error> {
        no_log()
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error> {
        Err(Error::UnknownTopic(topic.into()))
    }

    async fn committed(&self, _: &str, topic: &str) -> Result<Vec<(i32, Option<i64>)>, Error> {
        Err(Error::UnknownTopic(topic.into()))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}
