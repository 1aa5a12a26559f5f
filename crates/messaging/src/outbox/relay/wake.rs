//! The word from whoever committed rows to the relay of the same process: these are written, send them.
//! It may be lost, and rows may be left out: the table is the truth, and the relay polls and sweeps it anyway.
//! The shop's stores hold one end, the relay the other.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::outbox::Row;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wake {
    shards: Arc<[Slot]>,
    handed_max: usize,
}

#[derive(Debug, Default)]
struct Slot {
    notify: Notify,
    handed: Mutex<Handed>,
}

#[derive(Debug, Default)]
struct Handed {
    /// The shard is relayed by this process.
    ours: bool,
    rows: VecDeque<Row>,
    /// Of all these rows.
    events: usize,
    /// The table holds rows that were not handed over.
    more: bool,
}

impl Wake {
    /// `handed_max`: events of a shard that may wait in memory; what does not fit is read from the table.
    #[must_use]
    pub fn new(shards: i32, handed_max: usize) -> Self {
        Self {
            shards: (0..shards.max(1)).map(|_| Slot::default()).collect(),
            handed_max,
        }
    }

    /// These rows have been committed. Where this process does not relay their shard they are dropped: another's relay polls.
    pub fn committed(&self, rows: Vec<Row>) {
        let mut by_shard: Vec<Vec<Row>> = self.shards.iter().map(|_| Vec::new()).collect();
        for row in rows {
            if let Some(of_shard) = usize::try_from(row.shard)
                .ok()
                .and_then(|shard| by_shard.get_mut(shard))
            {
                of_shard.push(row);
            }
        }
        for (slot, rows) in self.shards.iter().zip(by_shard) {
            if !rows.is_empty() {
                slot.hand_over(rows, self.handed_max);
            }
        }
    }

    /// Rows of any shard may have been committed.
    pub fn all(&self) {
        for slot in self.shards.iter() {
            slot.handed.lock().more = true;
            slot.notify.notify_one();
        }
    }

    /// Whether this process relays the shard: only then are its rows kept.
    pub(super) fn relayed(&self, shard: i32, ours: bool) {
        if let Some(slot) = self.of(shard) {
            let mut handed = slot.handed.lock();
            handed.ours = ours;
            if !ours {
                handed.rows = VecDeque::new();
                handed.events = 0;
            }
        }
    }

    /// The oldest of what was handed over, whole rows until they hold so many events.
    pub(super) fn take(&self, shard: i32, max: usize) -> Vec<Row> {
        let Some(slot) = self.of(shard) else {
            return Vec::new();
        };
        let mut handed = slot.handed.lock();
        let mut taken = Vec::new();
        let mut events = 0;
        while events < max
            && let Some(row) = handed.rows.pop_front()
        {
            events += row.events.len();
            taken.push(row);
        }
        handed.events -= events;
        taken
    }

    pub(super) fn has_rows(&self, shard: i32) -> bool {
        self.of(shard)
            .is_some_and(|slot| !slot.handed.lock().rows.is_empty())
    }

    /// Whether the table was said to hold more since the last call.
    pub(super) fn more_in_table(&self, shard: i32) -> bool {
        self.of(shard)
            .is_some_and(|slot| std::mem::take(&mut slot.handed.lock().more))
    }

    pub(super) async fn woken(&self, shard: i32) {
        match self.of(shard) {
            Some(slot) => slot.notify.notified().await,
            None => std::future::pending().await,
        }
    }

    fn of(&self, shard: i32) -> Option<&Slot> {
        self.shards.get(usize::try_from(shard).ok()?)
    }
}

impl Slot {
    fn hand_over(&self, rows: Vec<Row>, max: usize) {
        {
            let mut handed = self.handed.lock();
            if !handed.ours {
                return;
            }
            for row in rows {
                if handed.events + row.events.len() > max {
                    handed.more = true;
                    break;
                }
                handed.events += row.events.len();
                handed.rows.push_back(row);
            }
        }
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::outbox::Event;

    fn row(shard: i32, events: usize) -> Row {
        let event = Event {
            id: Uuid::now_v7(),
            shard,
            topic: "t".into(),
            key: "k".into(),
            kind: "kind".into(),
            payload: "{}".into(),
            seq: None,
            traceparent: None,
            headers: Vec::new(),
            created_us: 1,
        };
        Row {
            id: event.id,
            shard,
            events: vec![event; events],
        }
    }

    #[test]
    fn rows_are_kept_for_the_relay_of_their_shard_and_no_more_than_fit() {
        let wake = Wake::new(2, 3);
        wake.committed(vec![row(0, 1), row(1, 1)]);
        assert!(!wake.has_rows(0) && !wake.more_in_table(0));
        wake.relayed(1, true);
        let rows: Vec<Row> = (0..5).map(|n| row(n % 2, 1)).collect();
        wake.committed(rows.clone());
        assert!(!wake.has_rows(0));
        assert_eq!(wake.take(1, 1), [rows[1].clone()]);
        assert_eq!(wake.take(1, 9), [rows[3].clone()]);
        assert!(!wake.more_in_table(1));
        wake.committed((0..5).map(|_| row(1, 1)).collect());
        assert_eq!(wake.take(1, 9).len(), 3);
        assert!(wake.more_in_table(1) && !wake.more_in_table(1));
        wake.committed(vec![row(1, 1), row(7, 1), row(-1, 1)]);
        wake.relayed(1, false);
        assert!(!wake.has_rows(1));
        wake.relayed(1, true);
        wake.committed(vec![row(1, 3)]);
        assert_eq!(wake.take(1, 9).len(), 1);
    }

    #[test]
    fn a_row_is_taken_whole_and_counts_by_its_events() {
        let wake = Wake::new(1, 10);
        wake.relayed(0, true);
        let rows = [4, 4, 1, 2].map(|events| row(0, events)).to_vec();
        wake.committed(rows.clone());
        // Eleven do not fit, and what follows a row that does not fit waits with it.
        assert!(wake.more_in_table(0));
        assert_eq!(wake.take(0, 5), rows[..2]);
        assert_eq!(wake.take(0, 5), rows[2..3]);
        wake.committed(vec![row(0, 10)]);
        assert_eq!(wake.take(0, 1).len(), 1);
    }
}
