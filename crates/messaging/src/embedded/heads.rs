//! What this process knows of each partition's next offset, and the bell that rings when one grows.
//! Not the truth (that is `log_partitions`): another process' appends arrive by polling.
//! The appender raises it; members and readers wait on it.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::record::TopicPartition;

#[derive(Debug)]
pub struct Heads {
    next: Mutex<HashMap<TopicPartition, i64>>,
    bell: watch::Sender<()>,
}

impl Heads {
    #[must_use]
    pub fn new() -> Self {
        Self {
            next: Mutex::default(),
            bell: watch::Sender::new(()),
        }
    }

    /// Rings for every waiter if any head grew, and says whether one did.
    pub fn raise(&self, heads: impl IntoIterator<Item = (TopicPartition, i64)>) -> bool {
        let mut grew = false;
        {
            let mut next = self.next.lock();
            for (at, head) in heads {
                let known = next.entry(at).or_insert(0);
                grew |= head > *known;
                *known = head.max(*known);
            }
        }
        if grew {
            self.bell.send_replace(());
        }
        grew
    }

    /// Forgets a deleted topic, whose offsets start again if it is created anew.
    pub fn forget(&self, topic: &str) {
        self.next.lock().retain(|at, _| at.topic != topic);
        self.bell.send_replace(());
    }

    /// The next offset as far as known: 0 for a partition never heard of.
    #[must_use]
    pub fn of(&self, at: &TopicPartition) -> i64 {
        self.next.lock().get(at).copied().unwrap_or(0)
    }

    #[must_use]
    pub fn listen(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }
}
