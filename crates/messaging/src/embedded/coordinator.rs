//! Who of this process' members holds which partition. A partition that moves is first revoked, then waited for (within a bound),
//! then given on; partitions that stay are not disturbed.
//! Groups are not shared between processes: one `serve` owns the file. Members call it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::log::Revocation;
use crate::record::TopicPartition;

use super::assignor;

#[derive(Debug)]
pub enum Change {
    Assigned(Vec<TopicPartition>),
    Revoked(Revocation),
}

#[derive(Debug)]
pub struct Coordinator {
    drain: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_member: u64,
    groups: HashMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    subscriptions: BTreeMap<u64, Vec<String>>,
    mailboxes: HashMap<u64, mpsc::UnboundedSender<Change>>,
    partitions: HashMap<String, i32>,
    holders: HashMap<TopicPartition, Holder>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    member: u64,
    leaving: bool,
}

impl Coordinator {
    #[must_use]
    pub fn new(revoke_drain_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            drain: Duration::from_millis(revoke_drain_ms),
            state: Mutex::default(),
        })
    }

    /// The new member's id and its mailbox.
    pub fn join(
        self: &Arc<Self>,
        group: &str,
        topics: &[String],
    ) -> (u64, mpsc::UnboundedReceiver<Change>) {
        // Unbounded, yet never long: a member has at most one change a partition waiting.
        let (mailbox, changes) = mpsc::unbounded_channel();
        let mut state = self.state.lock();
        state.last_member += 1;
        let id = state.last_member;
        let entry = state.groups.entry(group.to_owned()).or_default();
        entry.subscriptions.insert(id, topics.to_vec());
        entry.mailboxes.insert(id, mailbox);
        self.rebalance(group, entry);
        (id, changes)
    }

    /// Its partitions are free at once.
    pub fn leave(self: &Arc<Self>, group: &str, member: u64) {
        let mut state = self.state.lock();
        let Some(entry) = state.groups.get_mut(group) else {
            return;
        };
        entry.subscriptions.remove(&member);
        entry.mailboxes.remove(&member);
        entry.holders.retain(|_, holder| holder.member != member);
        self.rebalance(group, entry);
        if entry.subscriptions.is_empty() {
            state.groups.remove(group);
        }
    }

    /// How many partitions each of these topics has now (0: it is gone).
    pub fn partitions(self: &Arc<Self>, group: &str, counts: HashMap<String, i32>) {
        let mut state = self.state.lock();
        let Some(entry) = state.groups.get_mut(group) else {
            return;
        };
        let mut changed = false;
        for (topic, count) in counts {
            let known = entry.partitions.insert(topic, count).unwrap_or(0);
            changed |= known != count;
        }
        if changed {
            self.rebalance(group, entry);
        }
    }

    /// Whether this member may commit for the partition (also while it drains).
    #[must_use]
    pub fn holds(&self, group: &str, member: u64, at: &TopicPartition) -> bool {
        let state = self.state.lock();
        let holder = state.groups.get(group).and_then(|g| g.holders.get(at));
        holder.is_some_and(|holder| holder.member == member)
    }

    fn release(self: &Arc<Self>, group: &str, member: u64, partitions: &[TopicPartition]) {
        let mut state = self.state.lock();
        let Some(entry) = state.groups.get_mut(group) else {
            return;
        };
        for at in partitions {
            if entry.holders.get(at).is_some_and(|h| h.member == member) {
                entry.holders.remove(at);
            }
        }
        self.rebalance(group, entry);
    }

    fn rebalance(self: &Arc<Self>, name: &str, group: &mut Group) {
        let target = assignor::range(&group.subscriptions, &group.partitions);
        let mut revoked: BTreeMap<u64, Vec<TopicPartition>> = BTreeMap::new();
        for (at, holder) in &mut group.holders {
            if target.get(at) != Some(&holder.member) && !holder.leaving {
                holder.leaving = true;
                revoked.entry(holder.member).or_default().push(at.clone());
            }
        }
        let mut assigned: BTreeMap<u64, Vec<TopicPartition>> = BTreeMap::new();
        for (at, member) in target {
            if !group.holders.contains_key(&at) {
                let leaving = false;
                group.holders.insert(at.clone(), Holder { member, leaving });
                assigned.entry(member).or_default().push(at);
            }
        }
        for (member, mut partitions) in revoked {
            partitions.sort();
            self.revoke(name, group, member, partitions);
        }
        for (member, mut partitions) in assigned {
            partitions.sort();
            send(group, member, Change::Assigned(partitions));
        }
    }

    fn revoke(
        self: &Arc<Self>,
        name: &str,
        group: &Group,
        member: u64,
        partitions: Vec<TopicPartition>,
    ) {
        let (revocation, released) = Revocation::new(partitions.clone());
        send(group, member, Change::Revoked(revocation));
        let coordinator = Arc::clone(self);
        let name = name.to_owned();
        // Lives at most `drain`; the runtime going down ends it, and the groups with it.
        tokio::spawn(async move {
            if tokio::time::timeout(coordinator.drain, released)
                .await
                .is_err()
            {
                tracing::warn!(group = name, ?partitions, "member did not let go in time");
            }
            coordinator.release(&name, member, &partitions);
        });
    }
}

fn send(group: &Group, member: u64, change: Change) {
    if let Some(mailbox) = group.mailboxes.get(&member) {
        // A member that is being dropped leaves right after.
        let _ = mailbox.send(change);
    }
}
