//! The thread of one group member: keeps librdkafka polled however slow a handler is, and hands out a batch of a partition
//! only when its last one is settled. A partition that is not ready keeps its records in its own bounded queue, so nothing is paused.
//! `join` starts it; it ends when the member leaves or is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use tokio::sync::oneshot;

use crate::log::{Batch, Delivery, Error};
use crate::record::TopicPartition;

use super::errors;
use super::rebalance::{Change, Context, Native, Queue};
use super::records;

/// Tells a batch from every other: a late word on one of an earlier assignment must not free a second of this one.
pub type Ticket = u64;

pub enum Command {
    /// This batch is settled.
    Ready(TopicPartition, Ticket),
    /// The member has moved the partition to this offset itself, in place of settling the batch.
    Sought(TopicPartition, Ticket, i64),
    Leave(oneshot::Sender<()>),
}

/// Between two looks at the main queue when nothing rings: far below any `max.poll.interval.ms`.
const MAIN_POLL: Duration = Duration::from_millis(500);
/// A look at the main queue: long enough to take what is there, log lines included.
const MAIN_LOOK: Duration = Duration::from_millis(1);

pub struct Pump {
    consumer: Arc<Native>,
    commands: Receiver<Command>,
    batch_max: usize,
    bytes_max: usize,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// The last one given.
    ticket: Ticket,
}

struct Partition {
    queue: Queue,
    /// The offset that comes next; unknown before the first record of a new group.
    next: Option<i64>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// This batch is out.
    Busy(Ticket),
    Stopped,
}

impl Pump {
    #[must_use]
    pub fn new(
        consumer: Arc<Native>,
        commands: Receiver<Command>,
        batch_max: usize,
        bytes_max: usize,
    ) -> Self {
        Self {
            consumer,
            commands,
            batch_max: batch_max.max(1),
            bytes_max,
            partitions: BTreeMap::new(),
            ticket: 0,
        }
    }

    pub fn run(mut self) {
        let mut main_at = Instant::now();
        let left = loop {
            match self.obey() {
                Ok(None) => {}
                Ok(Some(done)) => break Some(done),
                Err(()) => break None,
            }
            if self.context().main_rang() || main_at <= Instant::now() {
                if let Err(error) = self.poll_main() {
                    self.tell(Err(error));
                    break self.wait_for_leave();
                }
                main_at = Instant::now() + MAIN_POLL;
            }
            self.serve();
            let bell = self.context().bell.clone();
            bell.wait(main_at.saturating_duration_since(Instant::now()));
        };
        self.context().leaving.store(true, Ordering::Release);
        // Queues hold the consumer too.
        self.partitions.clear();
        drop(self.context().take_changes());
        // The last reference: closing the consumer leaves the group.
        drop(self.consumer);
        if let Some(left) = left {
            let _ = left.send(());
        }
    }

    fn context(&self) -> &Arc<Context> {
        self.consumer.context()
    }

    fn tell(&self, delivery: Result<(Delivery, Ticket), Error>) {
        // A member that is being dropped leaves right after.
        let _ = self.context().deliveries.send(delivery);
    }

    /// `Some`: leave and say so; `Err`: the member is gone.
    fn obey(&mut self) -> Result<Option<oneshot::Sender<()>>, ()> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Ready(at, ticket)) => {
                    if let Some(partition) = self.with_batch(&at, ticket) {
                        partition.state = State::Ready;
                    }
                }
                Ok(Command::Sought(at, ticket, offset)) => {
                    if let Some(partition) = self.with_batch(&at, ticket) {
                        partition.state = State::Ready;
                        partition.next = Some(offset);
                    }
                }
                Ok(Command::Leave(done)) => return Ok(Some(done)),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(()),
            }
        }
    }

    fn with_batch(&mut self, at: &TopicPartition, ticket: Ticket) -> Option<&mut Partition> {
        let partition = self.partitions.get_mut(at)?;
        (partition.state == State::Busy(ticket)).then_some(partition)
    }

    /// After a failure the consumer is kept until the member has let go of it, so that it is closed on this thread.
    fn wait_for_leave(&mut self) -> Option<oneshot::Sender<()>> {
        loop {
            match self.commands.recv() {
                Ok(Command::Leave(done)) => return Some(done),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Rebalances, errors and log lines; `Err` when the membership is over.
    fn poll_main(&mut self) -> Result<(), Error> {
        loop {
            match self.consumer.poll(MAIN_LOOK) {
                Some(Err(error)) => self.trouble(&error)?,
                Some(Ok(stray)) => {
                    // Not expected: queues are split before their assignment. Fetch it again by the queue's own way.
                    let offset = Offset::Offset(stray.offset());
                    let (topic, partition) = (stray.topic(), stray.partition());
                    let sought = self.consumer.seek(topic, partition, offset, MAIN_POLL);
                    tracing::warn!(
                        topic,
                        partition,
                        ?offset,
                        ?sought,
                        "record on the main queue"
                    );
                }
                None => {
                    let changes = self.context().take_changes();
                    if changes.is_empty() {
                        return Ok(());
                    }
                    for change in changes {
                        self.apply(change)?;
                    }
                }
            }
        }
    }

    fn apply(&mut self, change: Change) -> Result<(), Error> {
        match change {
            Change::Assigned(assigned) => {
                for (at, queue, next) in assigned {
                    let state = State::Ready;
                    self.partitions.insert(at, Partition { queue, next, state });
                }
            }
            Change::Revoked(partitions) => {
                for at in partitions {
                    self.partitions.remove(&at);
                }
            }
            Change::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn trouble(&self, error: &KafkaError) -> Result<(), Error> {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(Error::Unavailable(error.to_string()));
        }
        let reporter = &self.context().reporter;
        reporter.trouble(error.rdkafka_error_code(), &error.to_string());
        Ok(())
    }

    /// A batch of each partition that is ready and has records.
    fn serve(&mut self) {
        let mut told = Vec::new();
        for (at, partition) in &mut self.partitions {
            if partition.state != State::Ready {
                continue;
            }
            let (records, failed) = take(partition, at, self.batch_max, self.bytes_max);
            if let Some(last) = records.last() {
                partition.next = Some(last.offset + 1);
                self.ticket += 1;
                partition.state = State::Busy(self.ticket);
                let partition = at.clone();
                let batch = Batch { partition, records };
                told.push((Delivery::Batch(batch), self.ticket));
            }
            if let Some(error) = failed
                && let Some(reason) = stop_reason(&self.consumer, at, partition.next, &error)
            {
                partition.state = State::Stopped;
                told.push((Delivery::Stopped(at.clone(), reason), self.ticket));
            }
        }
        for delivery in told {
            self.context().reporter.answered();
            self.tell(Ok(delivery));
        }
    }
}

fn take(
    partition: &Partition,
    at: &TopicPartition,
    batch_max: usize,
    bytes_max: usize,
) -> (Vec<crate::record::Record>, Option<KafkaError>) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < batch_max && bytes < bytes_max {
        match partition.queue.poll(Duration::ZERO) {
            None => break,
            Some(Err(error)) => return (batch, Some(error)),
            Some(Ok(message)) => {
                if partition.next.is_some_and(|next| message.offset() < next) {
                    continue;
                }
                bytes += message.payload_len() + message.key_len();
                batch.push(records::record(&message, at));
            }
        }
    }
    (batch, None)
}

/// Why the partition cannot go on; `None` when librdkafka goes on by itself.
fn stop_reason(
    consumer: &Native,
    at: &TopicPartition,
    next: Option<i64>,
    error: &KafkaError,
) -> Option<Error> {
    let code = error.rdkafka_error_code()?;
    match code {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            let request = consumer.context().request;
            let (low, high) = consumer
                .fetch_watermarks(&at.topic, at.partition, request)
                .unwrap_or((-1, -1));
            Some(Error::OffsetOutOfRange {
                partition: at.clone(),
                offset: next.unwrap_or(-1),
                low,
                high,
            })
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => Some(errors::of_delivery(code, &at.topic)),
        _ => {
            let reporter = &consumer.context().reporter;
            reporter.trouble(Some(code), &format!("{at}: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kafka::Settings;
    use crate::kafka::bell::Bell;
    use crate::kafka::rebalance::{self, Context};
    use crate::log::{Reset, Subscription};

    use super::*;

    #[test]
    fn a_late_word_on_an_earlier_batch_frees_no_second_one() {
        let settings = Settings {
            brokers: "127.0.0.1:1".to_owned(),
            ..Settings::default()
        };
        let (tell, _deliveries) = tokio::sync::mpsc::unbounded_channel();
        let none = Duration::ZERO;
        let subscription = Subscription {
            group: "group".into(),
            topics: Vec::new(),
            batch_max: 1,
            fetch_wait_max_ms: 100,
            reset: Reset::Earliest,
            own_topics: Vec::new(),
        };
        let context = Context::new(&subscription, none, none, tell, Bell::default());
        let consumer = rebalance::create(&settings.plain(), context).expect("right settings");
        let queue = consumer.split_partition_queue("topic", 0).expect("a queue");
        let (command, commands) = std::sync::mpsc::channel();
        let mut pump = Pump::new(consumer, commands, 1, 1);
        let at = TopicPartition::new("topic", 0);
        let partition = Partition {
            queue,
            next: Some(7),
            state: State::Busy(2),
        };
        pump.partitions.insert(at.clone(), partition);
        let mut after = |word| {
            command.send(word).expect("the pump is there");
            assert!(matches!(pump.obey(), Ok(None)));
            let partition = &pump.partitions[&at];
            (partition.state == State::Ready, partition.next)
        };
        assert_eq!(after(Command::Ready(at.clone(), 1)), (false, Some(7)));
        assert_eq!(after(Command::Sought(at.clone(), 1, 3)), (false, Some(7)));
        assert_eq!(after(Command::Sought(at.clone(), 2, 3)), (true, Some(3)));
    }
}
