//! The one member of a group: what it is given, what it may commit, and what it is told when it seeks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use messaging::log::*;
use messaging::record::TopicPartition;
use tokio::sync::oneshot;

use super::{Command, FakeLog};

pub(super) struct FakeMember {
    pub(super) log: Arc<FakeLog>,
    pub(super) subscription: Subscription,
    pub(super) assigned: bool,
    pub(super) positions: BTreeMap<TopicPartition, i64>,
    pub(super) busy: BTreeSet<TopicPartition>,
    pub(super) revoking: Option<(
        Vec<TopicPartition>,
        oneshot::Receiver<()>,
        oneshot::Sender<()>,
    )>,
}

impl FakeMember {
    fn own(&mut self, partition: &TopicPartition) {
        let at = self.log.committed_at(
            &self.subscription.group,
            &partition.topic,
            partition.partition,
        );
        self.positions.insert(partition.clone(), at);
        self.busy.remove(partition);
    }

    fn all(&self) -> Vec<TopicPartition> {
        let state = self.log.state.lock();
        let of = |topic: &String| {
            let count = state.topics.get(topic).map_or(0, Vec::len);
            (0..count)
                .map(|n| TopicPartition::new(topic.clone(), n as i32))
                .collect::<Vec<_>>()
        };
        self.subscription.topics.iter().flat_map(of).collect()
    }

    fn try_next(&mut self) -> Option<Result<Delivery, Error>> {
        if !self.assigned {
            self.assigned = true;
            let all = self.all();
            all.iter().for_each(|partition| self.own(partition));
            return Some(Ok(Delivery::Assigned(all)));
        }
        let command = self.log.state.lock().commands.pop_front();
        match command {
            Some(Command::Revoke(partitions, released)) => {
                let (revocation, receiver) = Revocation::new(partitions.clone());
                self.revoking = Some((partitions, receiver, released));
                return Some(Ok(Delivery::Revoked(revocation)));
            }
            Some(Command::Assign(partitions)) => {
                partitions.iter().for_each(|partition| self.own(partition));
                return Some(Ok(Delivery::Assigned(partitions)));
            }
            Some(Command::Stop(partition, error)) => {
                self.positions.remove(&partition);
                return Some(Ok(Delivery::Stopped(partition, error)));
            }
            Some(Command::End(error)) => return Some(Err(error)),
            None => {}
        }
        self.try_batch().map(|batch| Ok(Delivery::Batch(batch)))
    }

    fn try_batch(&mut self) -> Option<Batch> {
        let state = self.log.state.lock();
        for (partition, position) in &mut self.positions {
            let records = &state.topics[&partition.topic][partition.partition as usize];
            let from = *position as usize;
            if self.busy.contains(partition) || from >= records.len() {
                continue;
            }
            let to = records.len().min(from + self.subscription.batch_max);
            *position = to as i64;
            self.busy.insert(partition.clone());
            return Some(Batch {
                partition: partition.clone(),
                records: records[from..to].to_vec(),
            });
        }
        None
    }
}

#[async_trait]
impl Membership for FakeMember {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            if let Some((partitions, receiver, _)) = &mut self.revoking {
                // As in a real rebalance: nothing else happens until the member has let go.
                let _ = receiver.await;
                for partition in partitions {
                    self.positions.remove(partition);
                }
                if let Some((_, _, released)) = self.revoking.take() {
                    let _ = released.send(());
                }
            }
            if let Some(delivery) = self.try_next() {
                return delivery;
            }
            let changed = Arc::clone(&self.log.changed);
            changed.notified().await;
        }
    }

    fn ready(&mut self, partition: &TopicPartition) {
        self.busy.remove(partition);
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Error> {
        if !self.busy.remove(partition) {
            return Err(Error::Refused(format!("{partition} has no batch out")));
        }
        self.positions.insert(partition.clone(), offset);
        let lost = self.log.state.lock().seek_errors.pop_front();
        lost.map_or(Ok(()), Err)
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let mut state = self.log.state.lock();
        if let Some(error) = state.commit_errors.pop_front() {
            return Err(error);
        }
        if let Some((lost, _)) = offsets
            .iter()
            .find(|(p, _)| !self.positions.contains_key(p))
        {
            return Err(Error::Refused(format!("{lost} is not ours")));
        }
        for (partition, offset) in offsets {
            let key = (self.subscription.group.clone(), partition.clone());
            state.committed.insert(key, *offset);
            state.commits.push((partition.clone(), *offset));
        }
        Ok(())
    }

    async fn leave(self: Box<Self>) -> Result<(), Error> {
        self.log.state.lock().left += 1;
        Ok(())
    }
}
