//! A member of a Kafka group, as the runtime holds it: the near end of the pump's channels.
//! Commits and seeks go straight to librdkafka, which is safe from any thread; records come from the pump.
//! `KafkaLog::join` makes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use crate::log::{Delivery, Error, Membership, Subscription};
use crate::record::TopicPartition;

use super::bell::Bell;
use super::blocking;
use super::errors;
use super::pump::{Command, Pump, Ticket};
use super::rebalance::{self, Context, Native};
use super::settings::Settings;

pub struct Member {
    /// Taken before the pump is told to leave: the consumer is closed on its thread.
    consumer: Option<Arc<Native>>,
    commands: Sender<Command>,
    bell: Bell,
    deliveries: mpsc::UnboundedReceiver<Result<(Delivery, Ticket), Error>>,
    /// Partitions whose batch is with the runtime, and which batch.
    out: BTreeMap<TopicPartition, Ticket>,
    /// A commit that was not answered in time; the next one waits for it, so that they cannot overtake each other.
    unanswered: Option<oneshot::Receiver<Result<(), Error>>>,
    request: Duration,
    leave: Duration,
}

/// Joins without waiting for a broker.
pub fn join(settings: &Settings, subscription: &Subscription) -> Result<Member, Error> {
    // Unbounded, yet never long: a partition has one batch out at most.
    let (tell, deliveries) = mpsc::unbounded_channel();
    let (commands, obey) = std::sync::mpsc::channel();
    let bell = Bell::default();
    let request = Duration::from_millis(settings.request_timeout_ms);
    let context = Context::new(
        subscription,
        Duration::from_millis(settings.revoke_drain_ms),
        request,
        tell,
        bell.clone(),
    );
    let config = settings.member(&subscription.group, subscription.fetch_wait_max_ms);
    let consumer = rebalance::create(&config, context).map_err(|error| errors::of(&error))?;
    let topics: Vec<&str> = subscription.topics.iter().map(String::as_str).collect();
    let subscribed = consumer.subscribe(&topics);
    subscribed.map_err(|error| Error::Refused(error.to_string()))?;
    let pump = Pump::new(
        Arc::clone(&consumer),
        obey,
        subscription.batch_max,
        settings.fetch_bytes_max,
    );
    std::thread::Builder::new()
        .name(format!("kafka-{}", subscription.group))
        .spawn(move || pump.run())
        .map_err(|error| Error::Unavailable(format!("no thread for the member: {error}")))?;
    Ok(Member {
        consumer: Some(consumer),
        commands,
        bell,
        deliveries,
        out: BTreeMap::new(),
        unanswered: None,
        request,
        leave: Duration::from_millis(settings.leave_timeout_ms),
    })
}

impl Member {
    fn consumer(&self) -> Result<Arc<Native>, Error> {
        self.consumer.clone().ok_or_else(gone)
    }

    fn command(&self, command: Command) {
        // A pump that has ended has said why through `next`.
        let _ = self.commands.send(command);
        self.bell.ring();
    }

    /// On a thread of its own and not on one of tokio's: with no broker librdkafka takes long to give up, and the process must be able to end.
    async fn commit_list(
        &mut self,
        consumer: Arc<Native>,
        list: TopicPartitionList,
    ) -> Result<(), Error> {
        if let Some(earlier) = &mut self.unanswered {
            let answered = tokio::time::timeout(self.request, earlier).await;
            answered.map_err(|_| commit_unanswered())?.ok();
            self.unanswered = None;
        }
        let (answer, mut answered) = oneshot::channel();
        let commit = move || {
            let committed = match consumer.commit(&list, CommitMode::Sync) {
                Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
                Err(error) => Err(errors::of(&error)),
            };
            drop(consumer);
            // Whoever asked may have stopped waiting.
            let _ = answer.send(committed);
        };
        std::thread::Builder::new()
            .name("kafka-commit".to_owned())
            .spawn(commit)
            .map_err(|error| Error::Unavailable(format!("no thread to commit on: {error}")))?;
        match tokio::time::timeout(self.request, &mut answered).await {
            Ok(committed) => committed.unwrap_or_else(|_| Err(gone())),
            Err(_) => {
                self.unanswered = Some(answered);
                Err(commit_unanswered())
            }
        }
    }

    fn start_leaving(&mut self) -> Option<oneshot::Receiver<()>> {
        let consumer = self.consumer.take()?;
        consumer.context().leaving.store(true, Ordering::Release);
        drop(consumer);
        let (done, left) = oneshot::channel();
        self.command(Command::Leave(done));
        Some(left)
    }
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Result<Delivery, Error> {
        let (delivery, ticket) = self.deliveries.recv().await.ok_or_else(gone)??;
        match &delivery {
            Delivery::Batch(batch) => {
                self.out.insert(batch.partition.clone(), ticket);
            }
            Delivery::Revoked(revocation) => {
                for at in &revocation.partitions {
                    self.out.remove(at);
                }
            }
            Delivery::Stopped(at, _) => {
                self.out.remove(at);
            }
            Delivery::Assigned(_) => {}
        }
        Ok(delivery)
    }

    fn ready(&mut self, partition: &TopicPartition) {
        if let Some(ticket) = self.out.remove(partition) {
            self.command(Command::Ready(partition.clone(), ticket));
        }
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Error> {
        let Some(ticket) = self.out.get(partition).copied() else {
            return Err(not_held(partition));
        };
        let consumer = self.consumer()?;
        let (at, request) = (partition.clone(), self.request);
        blocking(move || {
            let offset = Offset::Offset(offset);
            let sought = consumer.seek(&at.topic, at.partition, offset, request);
            // librdkafka names the state it is in, not a code: a partition that cannot be sought now may be later.
            sought.map_err(|error| Error::Unavailable(format!("{at}: {error}")))
        })
        .await?;
        self.out.remove(partition);
        self.command(Command::Sought(partition.clone(), ticket, offset));
        Ok(())
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let consumer = self.consumer()?;
        let mut list = TopicPartitionList::new();
        let mut gone = None;
        {
            let owned = consumer.context().owned.lock();
            for (at, offset) in offsets {
                if owned.contains(at) {
                    list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))
                        .map_err(|error| errors::of(&error))?;
                } else {
                    gone = Some(at);
                }
            }
        }
        if list.count() > 0 {
            self.commit_list(consumer, list).await?;
        }
        match gone {
            Some(at) => Err(not_held(at)),
            None => Ok(()),
        }
    }

    async fn leave(mut self: Box<Self>) -> Result<(), Error> {
        let Some(left) = self.start_leaving() else {
            return Ok(());
        };
        match tokio::time::timeout(self.leave, left).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Unavailable(
                "the group could not be told in time that its member left".to_owned(),
            )),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // The pump leaves by itself; nobody waits for it.
        drop(self.start_leaving());
    }
}

fn commit_unanswered() -> Error {
    Error::Unavailable("a commit was not answered in time".to_owned())
}

fn not_held(at: &TopicPartition) -> Error {
    Error::Refused(format!("{at} is not held by this member"))
}

fn gone() -> Error {
    Error::Unavailable("the membership is over".to_owned())
}
