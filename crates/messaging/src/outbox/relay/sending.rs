//! What a shard sends next: rows handed over after their commit, and rows found in the table by a look after the cursor.
//! Both ways pass over rows that are on their way, acknowledged, or held back. When to look is the shard's affair.
//! Part of the shard.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use metrics::histogram;
use tokio::time::Instant;

use super::mapping;
use super::settling::Sent;
use super::shard::Shard;
use crate::backoff::next_look;
use crate::outbox::{Error, Row, events_in};
use crate::record::Outgoing;

impl Shard {
    /// Sends what was handed over, a batch at most; false when there was nothing.
    pub(super) fn send_handed(&mut self) -> bool {
        let batch_max = self.shared.settings.batch_max.max(1) as usize;
        let rows = self.shared.wake.take(self.shard, batch_max);
        if rows.is_empty() {
            return false;
        }
        self.space_batches(Instant::now(), events_in(&rows));
        self.send(rows);
        true
    }

    /// Looks at the table after the cursor and sends what is not known yet.
    pub(super) async fn read(&mut self) -> Result<(), Error> {
        let limit = (self.shared.settings.batch_max / self.events_a_row).max(1);
        let asked = Instant::now();
        // In a backlog all that is known lies before the cursor, and nothing need be passed over.
        let nothing = HashSet::new();
        let is_ahead = self.known.iter().any(|id| Some(*id) > self.cursor);
        let except = if is_ahead { &self.known } else { &nothing };
        let page = self
            .shared
            .store
            .head(self.shard, self.cursor, limit, except)
            .await?;
        self.at_end = page.end;
        let events = events_in(&page.rows);
        if !page.rows.is_empty() {
            let a_row = events.div_ceil(page.rows.len());
            self.events_a_row = u32::try_from(a_row).unwrap_or(u32::MAX).max(1);
        }
        self.poll_every = self.next_poll(!page.rows.is_empty());
        self.poll_at = asked + self.poll_every;
        if page.end {
            self.space_batches(asked, events);
        }
        self.cursor = page.last.or(self.cursor);
        // Reading may have taken long: only what comes back in time may go out.
        if self
            .publish_until()
            .is_some_and(|until| Instant::now() < until)
        {
            self.send(page.rows);
        }
        Ok(())
    }

    fn next_poll(&self, found: bool) -> Duration {
        let settings = &self.shared.settings;
        let often = Duration::from_millis(settings.poll_ms.max(1));
        let seldom = Duration::from_millis(settings.idle_poll_max_ms);
        next_look(self.poll_every, found, often, seldom)
    }

    /// After a batch of so many rows that began then; a full one is followed at once. The shards of a process keep the same
    /// beat, so that what they send at once is one request a partition.
    fn space_batches(&mut self, began: Instant, events: usize) {
        let settings = &self.shared.settings;
        if events < settings.batch_max as usize {
            self.next_batch = next_beat(self.shared.started, began, settings.batch_interval_ms);
        }
    }

    fn send(&mut self, mut rows: Vec<Row>) {
        let now = Instant::now();
        rows.retain(|row| !self.known.contains(&row.id) && !self.is_held(row, now));
        self.leave_out_what_is_there(&mut rows);
        if rows.is_empty() {
            return;
        }
        let settings = &self.shared.settings;
        let events = rows.iter().flat_map(|row| &row.events);
        let batch: Vec<Outgoing> = events
            .map(|event| mapping::outgoing(event, settings))
            .collect();
        histogram!("madang_outbox_batch_events").record(batch.len() as f64);
        self.publish(rows, batch, false);
    }

    /// Of rows that were sent in part, what the log has already.
    fn leave_out_what_is_there(&mut self, rows: &mut [Row]) {
        if self.there.is_empty() {
            return;
        }
        for row in rows {
            if let Some(there) = self.there.get(&row.id) {
                row.events.retain(|event| !there.contains(&event.id));
            }
        }
    }

    fn is_held(&self, row: &Row, now: Instant) -> bool {
        let held = [
            self.refused.get(&row.id),
            self.missing_topics.get(row.topic()),
        ];
        held.into_iter().flatten().any(|held| now < held.again)
    }

    /// Hands a batch to the log. It is polled once at once, so that batches reach the log in the order they were found.
    pub(super) fn publish(&mut self, rows: Vec<Row>, batch: Vec<Outgoing>, dead: bool) {
        if rows.is_empty() {
            return;
        }
        self.known.extend(rows.iter().map(|row| row.id));
        let log = Arc::clone(&self.shared.log);
        let mut sending = async move {
            let results = log.publish(batch).await;
            Sent {
                rows,
                results,
                dead,
            }
        }
        .boxed();
        match (&mut sending).now_or_never() {
            Some(sent) => self.in_flight.push(std::future::ready(sent).boxed()),
            None => self.in_flight.push(sending),
        }
    }
}

/// The first beat that is at least half an interval after `at`; they are counted from `start`.
fn next_beat(start: Instant, at: Instant, interval_ms: u64) -> Instant {
    let interval = Duration::from_millis(interval_ms);
    if interval.is_zero() {
        return at;
    }
    let earliest = at + interval / 2;
    let past = ((earliest - start).as_nanos() % interval.as_nanos()) as u64;
    match past {
        0 => earliest,
        past => earliest + interval - Duration::from_nanos(past),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_the_same_for_all_shards_and_never_near() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        for (at, next) in [(0, 20), (1, 20), (10, 20), (11, 40), (30, 40), (31, 60)] {
            assert_eq!(next_beat(start, ms(at), 20), ms(next), "after {at}");
        }
        assert_eq!(next_beat(start, ms(7), 0), ms(7));
    }
}
