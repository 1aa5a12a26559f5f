//! What happens to a member's partitions when the group changes, called by librdkafka on the member's own thread.
//! It tells the runtime and waits for it within bounds; it reads no records.
//! The pump takes the changes it leaves behind.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::UnboundedSender;

use crate::log::{Delivery, Error, Reset, Revocation, Subscription};
use crate::record::TopicPartition;

use super::bell::Bell;
use super::errors;
use super::pump::Ticket;
use super::reporter::Reporter;

pub type Native = BaseConsumer<Context>;
pub type Queue = PartitionQueue<Context>;

/// Attempts to read the group's offsets before the membership is given up.
const OFFSET_ATTEMPTS: u32 = 6;
const OFFSET_PAUSE: Duration = Duration::from_millis(100);
/// How often a revocation looks whether the runtime has let go.
const DRAIN_LOOK: Duration = Duration::from_millis(1);

pub enum Change {
    /// Each partition with its queue and the offset it starts at, where that is a number.
    Assigned(Vec<(TopicPartition, Queue, Option<i64>)>),
    Revoked(Vec<TopicPartition>),
    /// The membership cannot go on.
    Failed(Error),
}

pub struct Context {
    pub reporter: Reporter,
    pub bell: Bell,
    /// What this member may commit for.
    pub owned: Mutex<HashSet<TopicPartition>>,
    pub leaving: AtomicBool,
    pub subscription: Subscription,
    pub drain: Duration,
    pub request: Duration,
    /// Each with the ticket of its batch; of no meaning with what is none.
    pub deliveries: UnboundedSender<Result<(Delivery, Ticket), Error>>,
    /// Set right after the consumer is made: queues can be split from an `Arc` only.
    pub consumer: OnceLock<Weak<Native>>,
    changes: Mutex<Vec<Change>>,
    main_rang: Arc<AtomicBool>,
}

impl Context {
    #[must_use]
    pub fn new(
        subscription: &Subscription,
        drain: Duration,
        request: Duration,
        deliveries: UnboundedSender<Result<(Delivery, Ticket), Error>>,
        bell: Bell,
    ) -> Self {
        Self {
            reporter: Reporter::new(format!("member of {}", subscription.group)),
            bell,
            owned: Mutex::default(),
            leaving: AtomicBool::new(false),
            subscription: subscription.clone(),
            drain,
            request,
            deliveries,
            consumer: OnceLock::new(),
            changes: Mutex::default(),
            main_rang: Arc::default(),
        }
    }

    /// What rebalances did since the last call, in order.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock())
    }

    /// Whether something came to the main queue since the last call.
    pub fn main_rang(&self) -> bool {
        self.main_rang.swap(false, Ordering::AcqRel)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    fn assign(&self, base: &Native, list: &TopicPartitionList) -> Result<(), KafkaError> {
        let starts = self.starting_offsets(base, list)?;
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return base.unassign();
        };
        let mut assigned = Vec::new();
        for element in starts.elements() {
            let at = TopicPartition::new(element.topic(), element.partition());
            // Before the assignment takes effect: from then on nothing of this partition goes through the main queue.
            let Some(mut queue) = consumer.split_partition_queue(&at.topic, at.partition) else {
                continue;
            };
            let bell = self.bell.clone();
            queue.set_nonempty_callback(move || bell.ring());
            let start = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            assigned.push((at, queue, start));
        }
        match base.rebalance_protocol() {
            RebalanceProtocol::Cooperative => base.incremental_assign(&starts)?,
            _ => base.assign(&starts)?,
        }
        self.reporter.answered();
        let partitions: Vec<_> = assigned.iter().map(|(at, _, _)| at.clone()).collect();
        self.owned.lock().extend(partitions.iter().cloned());
        self.changes.lock().push(Change::Assigned(assigned));
        if !partitions.is_empty() {
            self.tell(Delivery::Assigned(partitions));
        }
        Ok(())
    }

    /// Read here and not left to librdkafka, which would treat a new group and a lost offset alike.
    fn starting_offsets(
        &self,
        base: &Native,
        list: &TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut attempt = 1;
        let offsets = loop {
            match base.committed_offsets(list.clone(), self.request) {
                Ok(offsets) => break offsets,
                Err(error) if attempt >= OFFSET_ATTEMPTS || self.is_leaving() => return Err(error),
                Err(error) => self
                    .reporter
                    .trouble(error.rdkafka_error_code(), &error.to_string()),
            }
            attempt += 1;
            std::thread::park_timeout(OFFSET_PAUSE);
        };
        for mut element in offsets.elements() {
            element.error()?;
            if !matches!(element.offset(), Offset::Offset(_)) {
                let first = match self.subscription.reset_of(element.topic()) {
                    Reset::Earliest => Offset::Beginning,
                    Reset::Latest => Offset::End,
                };
                element.set_offset(first)?;
            }
        }
        Ok(offsets)
    }

    fn revoke(&self, base: &Native, list: &TopicPartitionList) -> KafkaResult<()> {
        let partitions: Vec<_> = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        let lost = base.assignment_lost();
        if lost {
            // Somebody else has them already: too late to commit.
            self.disown(&partitions);
        }
        if !partitions.is_empty() && !self.is_leaving() {
            self.drain(partitions.clone(), lost);
        }
        self.disown(&partitions);
        self.changes.lock().push(Change::Revoked(partitions));
        match base.rebalance_protocol() {
            RebalanceProtocol::Cooperative => base.incremental_unassign(list),
            _ => base.unassign(),
        }
    }

    fn drain(&self, partitions: Vec<TopicPartition>, lost: bool) {
        let (revocation, mut released) = Revocation::new(partitions);
        self.tell(Delivery::Revoked(revocation));
        let until = Instant::now() + self.drain;
        while !lost && !self.is_leaving() {
            // Called, or dropped: either way it has let go.
            if !matches!(
                released.try_recv(),
                Err(tokio::sync::oneshot::error::TryRecvError::Empty)
            ) {
                return;
            }
            if Instant::now() >= until {
                tracing::warn!("member did not let go of its partitions in time");
                return;
            }
            std::thread::park_timeout(DRAIN_LOOK);
        }
    }

    fn disown(&self, partitions: &[TopicPartition]) {
        let mut owned = self.owned.lock();
        for at in partitions {
            owned.remove(at);
        }
    }

    fn tell(&self, delivery: Delivery) {
        // A member that is being dropped leaves right after.
        let _ = self.deliveries.send(Ok((delivery, 0)));
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reporter.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reporter.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.reporter.statistics(statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, base: &Native, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigns = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if assigns && !self.is_leaving() {
            self.assign(base, list)
        } else if assigns {
            base.unassign()
        } else {
            self.revoke(base, list)
        };
        if let Err(error) = done {
            self.changes.lock().push(Change::Failed(failure(&error)));
            // librdkafka goes on only when it has been answered.
            let _ = base.unassign();
        }
    }
}

/// Why the membership is over: but for missing rights, joining again may help (a stale generation is one such case).
fn failure(error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed) => errors::of(error),
        _ => Error::Unavailable(error.to_string()),
    }
}

/// A member's consumer, its context tied to it.
pub fn create(config: &ClientConfig, context: Context) -> KafkaResult<Arc<Native>> {
    let bell = context.bell.clone();
    let rang = Arc::clone(&context.main_rang);
    let mut consumer = Native::from_config_and_context(config, context)?;
    consumer.set_nonempty_callback(move || {
        rang.store(true, Ordering::Release);
        bell.ring();
    });
    let consumer = Arc::new(consumer);
    // Set once, here: the context is this consumer's own.
    let _ = consumer.context().consumer.set(Arc::downgrade(&consumer));
    Ok(consumer)
}
