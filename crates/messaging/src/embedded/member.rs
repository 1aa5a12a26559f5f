//! A member of a group of the embedded log: reads its partitions in turn, each only when its last batch is settled.
//! It has no task of its own; everything happens inside `next`, which may be dropped at any await.
//! `EmbeddedLog::join` makes it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::log::{Batch, Delivery, Error, Membership, Reset, Subscription};
use crate::record::TopicPartition;

use super::coordinator::Change;
use super::schema::{self, PartitionRow};
use super::{Shared, fetch, topics};

pub struct Member {
    shared: Arc<Shared>,
    subscription: Subscription,
    id: u64,
    changes: mpsc::UnboundedReceiver<Change>,
    bell: watch::Receiver<()>,
    held: BTreeMap<TopicPartition, Held>,
    /// Assigned, and not yet told: their positions are still to be read.
    starting: Vec<TopicPartition>,
    /// Decided, and not yet handed out.
    ready_deliveries: VecDeque<Delivery>,
    /// The partition served last, so that the next one has its turn.
    last: Option<TopicPartition>,
    poll_at: Instant,
    /// How long until the look after the next.
    poll_every: Duration,
    /// Partitions that the last look found.
    partitions_seen: usize,
    failing: bool,
}

struct Held {
    id: i64,
    position: i64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// A batch is out.
    Busy,
    Stopped,
}

impl Member {
    pub fn new(shared: Arc<Shared>, subscription: Subscription) -> Self {
        let bell = shared.heads.listen();
        let (id, changes) = shared
            .coordinator
            .join(&subscription.group, &subscription.topics);
        Self {
            shared,
            subscription,
            id,
            changes,
            bell,
            held: BTreeMap::new(),
            starting: Vec::new(),
            ready_deliveries: VecDeque::new(),
            last: None,
            poll_at: Instant::now(),
            poll_every: Duration::ZERO,
            partitions_seen: 0,
            failing: false,
        }
    }

    /// One thing to tell, if there is one now.
    async fn step(&mut self) -> Result<Option<Delivery>, Error> {
        if let Some(delivery) = self.ready_deliveries.pop_front() {
            return Ok(Some(delivery));
        }
        if !self.starting.is_empty() {
            return self.start().await.map(Some);
        }
        if let Ok(change) = self.changes.try_recv() {
            return Ok(self.apply(change));
        }
        if self.poll_at <= Instant::now() {
            self.poll().await?;
        }
        self.fetch().await
    }

    fn apply(&mut self, change: Change) -> Option<Delivery> {
        match change {
            Change::Assigned(partitions) => {
                self.starting = partitions;
                None
            }
            Change::Revoked(revocation) => {
                for at in &revocation.partitions {
                    self.held.remove(at);
                }
                Some(Delivery::Revoked(revocation))
            }
        }
    }

    /// Looks for what other processes did: records, topics.
    async fn poll(&mut self) -> Result<(), Error> {
        let rows = schema::partitions(&self.shared.reader, &self.subscription.topics).await?;
        let mut counts: HashMap<String, i32> = HashMap::new();
        for topic in &self.subscription.topics {
            counts.insert(topic.clone(), 0);
        }
        for row in &rows {
            *counts.entry(row.at.topic.clone()).or_default() += 1;
        }
        self.shared
            .coordinator
            .partitions(&self.subscription.group, counts);
        for row in &rows {
            // Deleted and created anew by another process: these are not the offsets that were read.
            let other = |held: &Held| held.id != row.id && held.state != State::Stopped;
            if self.held.get(&row.at).is_some_and(other) {
                self.stop_unknown(&row.at);
            }
        }
        let seen = std::mem::replace(&mut self.partitions_seen, rows.len());
        let heads = rows.into_iter().map(|row| (row.at, row.next));
        let grew = self.shared.heads.raise(heads);
        let found = grew || seen != self.partitions_seen;
        self.poll_every = self.shared.next_poll(self.poll_every, found);
        self.poll_at = Instant::now() + self.poll_every;
        Ok(())
    }

    async fn start(&mut self) -> Result<Delivery, Error> {
        let rows = schema::partitions(&self.shared.reader, &self.subscription.topics).await?;
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.at.clone(), row)).collect();
        let mut committed = HashMap::new();
        for topic in &self.subscription.topics {
            let group = &self.subscription.group;
            for (partition, offset) in topics::committed(&self.shared.reader, group, topic).await? {
                committed.insert(TopicPartition::new(topic.clone(), partition), offset);
            }
        }
        let started = std::mem::take(&mut self.starting);
        for at in &started {
            // Deleted meanwhile: the coordinator revokes it soon.
            let Some(row) = rows.get(at) else { continue };
            let position = match (
                committed.get(at).copied().flatten(),
                self.subscription.reset_of(&at.topic),
            ) {
                (Some(offset), _) => offset,
                (None, Reset::Earliest) => row.low,
                (None, Reset::Latest) => row.next,
            };
            self.held.insert(
                at.clone(),
                Held {
                    id: row.id,
                    position,
                    state: State::Ready,
                },
            );
            self.stop_if_outside(row, position);
        }
        let heads = rows.into_values().map(|row| (row.at, row.next));
        self.shared.heads.raise(heads);
        Ok(Delivery::Assigned(started))
    }

    fn stop_if_outside(&mut self, row: &PartitionRow, offset: i64) {
        if (row.low..=row.next).contains(&offset) {
            return;
        }
        if let Some(held) = self.held.get_mut(&row.at) {
            held.state = State::Stopped;
        }
        let error = Error::OffsetOutOfRange {
            partition: row.at.clone(),
            offset,
            low: row.low,
            high: row.next,
        };
        self.ready_deliveries
            .push_back(Delivery::Stopped(row.at.clone(), error));
    }

    /// A batch of the next partition in turn that is ready and has records.
    async fn fetch(&mut self) -> Result<Option<Delivery>, Error> {
        let Some(at) = self.next_in_turn() else {
            return Ok(None);
        };
        let Some(held) = self.held.get(&at) else {
            return Ok(None);
        };
        let position = held.position;
        let records = fetch::page(
            &self.shared.reader,
            held.id,
            &at,
            position,
            self.subscription.batch_max.max(1),
            self.shared.settings.fetch_bytes_max,
        )
        .await?;
        if records.first().is_none_or(|first| first.offset != position) {
            self.explain_gap(&at, position).await?;
            return Ok(self.ready_deliveries.pop_front());
        }
        if let (Some(held), Some(last)) = (self.held.get_mut(&at), records.last()) {
            held.position = last.offset + 1;
            held.state = State::Busy;
        }
        self.last = Some(at.clone());
        Ok(Some(Delivery::Batch(Batch {
            partition: at,
            records,
        })))
    }

    fn next_in_turn(&self) -> Option<TopicPartition> {
        let has_records = |(at, held): &(&TopicPartition, &Held)| {
            held.state == State::Ready && self.shared.heads.of(at) > held.position
        };
        let after = |(at, _): &(&TopicPartition, &Held)| Some(*at) > self.last.as_ref();
        let later = self.held.iter().filter(after).find(has_records);
        later
            .or_else(|| self.held.iter().find(has_records))
            .map(|(at, _)| at.clone())
    }

    /// The head says that there are records and there are none here: pruned, or the topic is another one now.
    async fn explain_gap(&mut self, at: &TopicPartition, position: i64) -> Result<(), Error> {
        let rows = schema::partitions(&self.shared.reader, std::slice::from_ref(&at.topic)).await?;
        let held_id = self.held.get(at).map(|held| held.id);
        match rows.into_iter().find(|row| row.at == *at) {
            Some(row) if Some(row.id) == held_id => self.stop_if_outside(&row, position),
            _ => self.stop_unknown(at),
        }
        Ok(())
    }

    fn stop_unknown(&mut self, at: &TopicPartition) {
        if let Some(held) = self.held.get_mut(at) {
            held.state = State::Stopped;
        }
        let error = Error::UnknownTopic(at.topic.clone());
        self.ready_deliveries
            .push_back(Delivery::Stopped(at.clone(), error));
    }

    async fn wait(&mut self) {
        if self.failing {
            tokio::time::sleep(self.shared.poll()).await;
            return;
        }
        tokio::select! {
            change = self.changes.recv() => {
                if let Some(Change::Assigned(partitions)) = change {
                    self.starting = partitions;
                } else if let Some(change) = change
                    && let Some(delivery) = self.apply(change)
                {
                    self.ready_deliveries.push_back(delivery);
                }
            }
            _ = self.bell.changed() => {}
            () = tokio::time::sleep_until(self.poll_at) => {}
        }
    }
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            // Before looking, so that what is appended while we look rings again.
            self.bell.mark_unchanged();
            match self.step().await {
                Ok(Some(delivery)) => {
                    self.failing = false;
                    return Ok(delivery);
                }
                Ok(None) => self.failing = false,
                Err(error) => {
                    if !self.failing {
                        let group = &self.subscription.group;
                        tracing::warn!(group, %error, "embedded log cannot be read; trying on");
                    }
                    self.failing = true;
                }
            }
            if self.starting.is_empty() && self.ready_deliveries.is_empty() {
                self.wait().await;
            }
        }
    }

    fn ready(&mut self, partition: &TopicPartition) {
        if let Some(held) = self.held.get_mut(partition)
            && held.state == State::Busy
        {
            held.state = State::Ready;
        }
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Error> {
        let topic = std::slice::from_ref(&partition.topic);
        let rows = schema::partitions(&self.shared.reader, topic).await?;
        let row = rows.into_iter().find(|row| row.at == *partition);
        let (Some(held), Some(row)) = (self.held.get_mut(partition), row) else {
            return Err(not_held(partition));
        };
        held.position = offset;
        held.state = State::Ready;
        self.stop_if_outside(&row, offset);
        Ok(())
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let group = &self.subscription.group;
        let (held, gone): (Vec<_>, Vec<_>) = offsets
            .iter()
            .cloned()
            .partition(|(at, _)| self.shared.coordinator.holds(group, self.id, at));
        if !held.is_empty() {
            self.shared.commit(group.clone(), held).await?;
        }
        match gone.first() {
            Some((at, _)) => Err(not_held(at)),
            None => Ok(()),
        }
    }

    async fn leave(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared
            .coordinator
            .leave(&self.subscription.group, self.id);
    }
}

fn not_held(at: &TopicPartition) -> Error {
    Error::Refused(format!("{at} is not held by this member"))
}
