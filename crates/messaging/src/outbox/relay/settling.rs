//! What becomes of rows once the log has answered for them: to be deleted, to be sent again, to a dead-letter topic, or kept back.
//! Nothing is decided here about when; the shard's turn does that.
//! Part of the shard.

use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;

use super::mapping;
use super::shard::Shard;
use crate::log;
use crate::outbox::Row;

/// A batch that has been published, row by row.
pub(super) struct Sent {
    pub rows: Vec<Row>,
    pub results: Vec<Result<log::Acknowledged, log::Error>>,
    /// It went to dead-letter topics.
    pub dead: bool,
}

/// A row, or a topic, that the log does not take.
pub(super) struct Refused {
    pub tries: u32,
    pub again: Instant,
}

/// A topic's, kept so that a row costs no look-up by labels.
pub(super) struct Meters {
    published: Counter,
    dead: Counter,
    delay_seconds: Histogram,
}

impl Meters {
    fn of(topic: &str) -> Self {
        let counted = |outcome: &'static str| counter!("madang_outbox_published_total", "topic" => topic.to_owned(), "outcome" => outcome);
        Self {
            published: counted("published"),
            dead: counted("dead"),
            delay_seconds: histogram!("madang_outbox_delay_seconds", "topic" => topic.to_owned()),
        }
    }

    /// `delay_us`: from the event's instant, which is before its commit, to the acknowledgement.
    fn acknowledged(&self, dead: bool, delay_us: i64) {
        if dead {
            self.dead.increment(1);
        } else {
            self.published.increment(1);
            self.delay_seconds.record(delay_us.max(0) as f64 / 1e6);
        }
    }
}

impl Shard {
    pub(super) fn settle(&mut self, sent: Sent) {
        let Sent {
            rows,
            results,
            dead,
        } = sent;
        let mut results = results.into_iter();
        let now_us = jiff::Timestamp::now().as_microsecond();
        let mut away = None;
        let mut dead_letters = (Vec::new(), Vec::new());
        for row in rows {
            match results.next() {
                Some(Ok(_)) => self.acknowledge(&row, dead, now_us),
                Some(Err(error @ log::Error::Unavailable(_))) => {
                    self.known.remove(&row.id);
                    away = Some(error);
                }
                None => {
                    self.known.remove(&row.id);
                }
                Some(Err(error)) if dead => self.hold_row(&row, &error),
                Some(Err(error @ log::Error::UnknownTopic(_))) => self.hold_topic(&row, &error),
                Some(Err(error)) => {
                    if !self.refused.contains_key(&row.id) {
                        tracing::error!(shard = self.shard, id = %row.id, topic = row.topic, %error, "event refused, to its dead-letter topic");
                    }
                    dead_letters
                        .1
                        .push(mapping::dead_letter(&row, &self.shared.settings, &error));
                    dead_letters.0.push(row);
                }
            }
        }
        self.note_weather(away);
        let (rows, batch) = dead_letters;
        if self
            .publish_until()
            .is_some_and(|until| Instant::now() < until)
        {
            self.publish(rows, batch, true);
        } else {
            self.known_no_more(&rows);
        }
    }

    fn acknowledge(&mut self, row: &Row, dead: bool, now_us: i64) {
        if self.acknowledged.is_empty() {
            self.acknowledged_at = Instant::now();
        }
        self.acknowledged.push(row.id);
        self.refused.remove(&row.id);
        if !self.missing_topics.is_empty() {
            self.missing_topics.remove(&row.topic);
        }
        self.published += 1;
        if !self.meters.contains_key(&row.topic) {
            self.meters
                .insert(row.topic.clone(), Meters::of(&row.topic));
        }
        if let Some(meters) = self.meters.get(&row.topic) {
            meters.acknowledged(dead, now_us - row.created_us);
        }
    }

    /// No topic takes the row: it stays where it is and is tried again later and later; its neighbours go on.
    fn hold_row(&mut self, row: &Row, error: &log::Error) {
        self.known.remove(&row.id);
        counter!("madang_outbox_refused_total", "topic" => row.topic.clone()).increment(1);
        let settings = &self.shared.settings;
        let now = Instant::now();
        let tries = self
            .refused
            .get(&row.id)
            .map_or(1, |held| held.tries.saturating_add(1));
        if tries == 1 {
            tracing::error!(
                shard = self.shard, id = %row.id, topic = row.topic, %error,
                "no dead-letter topic takes the event, it stays in the outbox",
            );
            if self.refused.len() >= settings.held_max {
                // It cannot be remembered: so that it does not spin, the shard slows down, and reads to its end before it sweeps.
                self.overflowing = true;
                self.not_before = now + settings.backoff.delay(1);
                return;
            }
        }
        let again = now + settings.backoff.delay(tries);
        self.refused.insert(row.id, Refused { tries, again });
    }

    /// The row's topic is not there (yet): all its rows wait in the outbox.
    fn hold_topic(&mut self, row: &Row, error: &log::Error) {
        self.known.remove(&row.id);
        let now = Instant::now();
        let held = self.missing_topics.get(&row.topic);
        if held.is_some_and(|held| now < held.again) {
            return;
        }
        let tries = held.map_or(1, |held| held.tries.saturating_add(1));
        if tries == 1 {
            tracing::error!(shard = self.shard, topic = row.topic, %error, "events of this topic wait in the outbox");
        }
        let again = now + self.shared.settings.backoff.delay(tries);
        self.missing_topics
            .insert(row.topic.clone(), Refused { tries, again });
    }

    /// After a batch: is the log there?
    fn note_weather(&mut self, away: Option<log::Error>) {
        match away {
            Some(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == 1 {
                    tracing::warn!(shard = self.shard, %error, "event log does not take events, they wait in the outbox");
                }
                let now = Instant::now();
                self.not_before = now + self.shared.settings.backoff.delay(self.failures);
                // What came back unsent lies before the cursor.
                self.cursor = None;
                self.at_end = false;
            }
            None if self.failures > 0 => {
                tracing::info!(
                    shard = self.shard,
                    failures = self.failures,
                    "event log takes events again"
                );
                self.failures = 0;
            }
            None => {}
        }
    }

    fn known_no_more(&mut self, rows: &[Row]) {
        for row in rows {
            self.known.remove(&row.id);
        }
    }
}
