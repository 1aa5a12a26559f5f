//! Which events share a row of the outbox. What a row costs the database is mostly not its bytes, so events that are committed
//! together share one as long as they go to one topic, have one owner, and fit in.
//! Stores call it before they write.

use super::{Event, Row};

/// What an event takes in a row besides its texts: id, trace, number, instant and their names.
const EVENT_BYTES: usize = 200;

/// How much one row of the outbox may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// 1: a row for each event, as Debezium's outbox router reads them.
    pub events_max: usize,
    /// Bytes of its events together, about, as they are before a store compresses them; one that is larger has a row of its own.
    pub bytes_max: usize,
}

impl Default for Packing {
    /// A row that InnoDB still keeps whole within its page of 16 KiB, once it is compressed to a fifth.
    fn default() -> Self {
        Self {
            events_max: 64,
            bytes_max: 40_000,
        }
    }
}

impl Packing {
    /// All these events, in rows in the order in which the outbox keeps them. Of a shard and topic events keep their order.
    #[must_use]
    pub fn rows(&self, events: Vec<Event>) -> Vec<Row> {
        let mut rows: Vec<(Row, usize)> = Vec::new();
        for event in events {
            let bytes = size(&event);
            let open = rows
                .iter_mut()
                .rev()
                .find(|(row, _)| row.shard == event.shard && row.topic() == event.topic);
            match open {
                Some((row, taken))
                    if row.events.len() < self.events_max && *taken + bytes <= self.bytes_max =>
                {
                    row.events.push(event);
                    *taken += bytes;
                }
                _ => rows.push((event.into(), bytes)),
            }
        }
        let mut rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
        rows.sort_by_key(|row| (row.shard, row.id));
        rows
    }
}

fn size(event: &Event) -> usize {
    let headers = event.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    EVENT_BYTES + event.key.len() + event.kind.len() + event.payload.len() + headers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn event(shard: i32, topic: &str, payload: usize) -> Event {
        Event {
            id: Uuid::now_v7(),
            shard,
            topic: topic.into(),
            key: "7".into(),
            kind: "kind".into(),
            payload: "x".repeat(payload).into(),
            seq: None,
            traceparent: None,
            headers: Vec::new(),
            created_us: 1,
        }
    }

    proptest! {
        #[test]
        fn every_event_is_in_one_row_with_its_like_and_in_order(
            made in prop::collection::vec((0_i32..3, "[ab]", 0_usize..900), 0..120),
            events_max in 1_usize..9,
            bytes_max in 0_usize..4_000,
        ) {
            let packing = Packing { events_max, bytes_max };
            let events: Vec<Event> = made.iter().map(|(shard, topic, payload)| event(*shard, topic, *payload)).collect();
            let rows = packing.rows(events.clone());
            prop_assert!(rows.is_sorted_by(|a, b| (a.shard, a.id) < (b.shard, b.id)));
            for row in &rows {
                let of = |event: &Event| event.shard == row.shard && event.topic == row.topic();
                prop_assert!(!row.events.is_empty() && row.events.iter().all(of));
                prop_assert_eq!(row.id, row.events[0].id);
                prop_assert!(row.events.len() <= events_max);
                prop_assert!(row.events.len() == 1 || row.events.iter().map(size).sum::<usize>() <= bytes_max);
            }
            for (shard, topic) in (0..3).flat_map(|shard| [(shard, "a"), (shard, "b")]) {
                let of = |event: &&Event| event.shard == shard && event.topic == topic;
                let packed: Vec<&Event> = rows.iter().flat_map(|row| &row.events).filter(of).collect();
                prop_assert_eq!(packed, events.iter().filter(of).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_row_holds_as_many_as_it_may() {
        let few = Packing {
            events_max: 4,
            ..Packing::default()
        };
        let lengths = |packing: Packing, payload| -> Vec<usize> {
            let events = (0..9).map(|_| event(0, "a", payload)).collect();
            let rows = packing.rows(events);
            rows.iter().map(|row| row.events.len()).collect()
        };
        assert_eq!(lengths(few, 10), [4, 4, 1]);
        // 40,000 bytes hold two of 15,205, and none of 30,000 beside another.
        assert_eq!(lengths(few, 15_000), [2, 2, 2, 2, 1]);
        assert_eq!(lengths(few, 30_000), [1; 9]);
        let one = Packing {
            events_max: 1,
            ..few
        };
        assert_eq!(lengths(one, 10), [1; 9]);
    }
}
