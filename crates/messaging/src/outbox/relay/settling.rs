//! What becomes of rows once the log has answered for their events: to be deleted, to be sent again, to a dead-letter topic, or kept back.
//! Nothing is decided here about when; the shard's turn does that.
//! Part of the shard.

use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;
use uuid::Uuid;

use super::mapping;
use super::shard::Shard;
use crate::log;
use crate::outbox::Row;

/// A batch that has been published.
pub(super) struct Sent {
    pub rows: Vec<Row>,
    /// Of the rows' events, one after another.
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

/// Events of a row that the log has not acknowledged, each with what it said of it, if anything.
type Left = (Row, Vec<Option<log::Error>>);

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
        let mut refused = Vec::new();
        for row in rows {
            let answers = results.by_ref().take(row.events.len()).collect();
            let Some((row, errors)) = self.take_answers(row, answers, dead, now_us) else {
                continue;
            };
            let answered: Vec<&log::Error> = errors.iter().flatten().collect();
            let is_final = |error: &&log::Error| !matches!(error, log::Error::Unavailable(_));
            let is_missing = |error: &&log::Error| matches!(error, log::Error::UnknownTopic(_));
            if answered.len() < errors.len() || !answered.iter().all(is_final) {
                self.known.remove(&row.id);
                let unavailable = errors.into_iter().flatten().find(|error| !is_final(&error));
                away = unavailable.or(away);
            } else if dead {
                self.hold_row(&row, answered[0]);
            } else if let Some(error) = answered.into_iter().find(is_missing) {
                self.hold_topic(&row, error);
            } else {
                refused.push((row, errors));
            }
        }
        self.note_weather(away);
        self.bury(refused);
    }

    /// What was acknowledged is counted, and will not be sent again; a row whose events all were is to be deleted.
    fn take_answers(
        &mut self,
        mut row: Row,
        answers: Vec<Result<log::Acknowledged, log::Error>>,
        dead: bool,
        now_us: i64,
    ) -> Option<Left> {
        let taken = answers.iter().filter(|answer| answer.is_ok()).count();
        if taken > 0 {
            self.published += taken as u64;
            if !self.missing_topics.is_empty() {
                self.missing_topics.remove(row.topic());
            }
            if !self.meters.contains_key(row.topic()) {
                let topic = row.topic().to_owned();
                self.meters.insert(topic.clone(), Meters::of(&topic));
            }
        }
        let meters = self.meters.get(row.topic());
        let mut answers = answers.into_iter();
        let (mut there, mut left, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for event in std::mem::take(&mut row.events) {
            match answers.next() {
                Some(Ok(_)) => {
                    if let Some(meters) = meters {
                        meters.acknowledged(dead, now_us - event.created_us);
                    }
                    there.push(event.id);
                }
                other => {
                    errors.push(other.and_then(Result::err));
                    left.push(event);
                }
            }
        }
        if left.is_empty() {
            self.acknowledge(row.id);
            return None;
        }
        self.remember(row.id, there);
        row.events = left;
        Some((row, errors))
    }

    /// All events of the row are there: it is to be deleted.
    fn acknowledge(&mut self, row: Uuid) {
        if self.acknowledged.is_empty() {
            self.acknowledged_at = Instant::now();
        }
        self.acknowledged.push(row);
        self.refused.remove(&row);
        self.there.remove(&row);
    }

    /// Some events of a row are there. Where that cannot be remembered they will be sent again with the others.
    fn remember(&mut self, row: Uuid, events: Vec<Uuid>) {
        let is_known = self.there.contains_key(&row);
        if events.is_empty() || (!is_known && self.there.len() >= self.shared.settings.held_max) {
            return;
        }
        self.there.entry(row).or_default().extend(events);
    }

    /// Sends to dead-letter topics what its own topic refuses for good.
    fn bury(&mut self, refused: Vec<Left>) {
        let mut rows = Vec::with_capacity(refused.len());
        let mut batch = Vec::new();
        for (row, errors) in refused {
            let is_new = !self.refused.contains_key(&row.id);
            for (event, error) in row.events.iter().zip(errors.iter().flatten()) {
                if is_new {
                    tracing::error!(shard = self.shard, id = %event.id, topic = event.topic, %error, "event refused, to its dead-letter topic");
                }
                batch.push(mapping::dead_letter(event, &self.shared.settings, error));
            }
            rows.push(row);
        }
        if self
            .publish_until()
            .is_some_and(|until| Instant::now() < until)
        {
            self.publish(rows, batch, true);
        } else {
            self.known_no_more(&rows);
        }
    }

    /// No topic takes the row: it stays where it is and is tried again later and later; its neighbours go on.
    fn hold_row(&mut self, row: &Row, error: &log::Error) {
        self.known.remove(&row.id);
        counter!("madang_outbox_refused_total", "topic" => row.topic().to_owned()).increment(1);
        let settings = &self.shared.settings;
        let now = Instant::now();
        let tries = self
            .refused
            .get(&row.id)
            .map_or(1, |held| held.tries.saturating_add(1));
        if tries == 1 {
            tracing::error!(
                shard = self.shard, id = %row.id, topic = row.topic(), %error,
                "no dead-letter topic takes an event, its row stays in the outbox",
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
        let held = self.missing_topics.get(row.topic());
        if held.is_some_and(|held| now < held.again) {
            return;
        }
        let tries = held.map_or(1, |held| held.tries.saturating_add(1));
        if tries == 1 {
            tracing::error!(shard = self.shard, topic = row.topic(), %error, "events of this topic wait in the outbox");
        }
        let again = now + self.shared.settings.backoff.delay(tries);
        self.missing_topics
            .insert(row.topic().to_owned(), Refused { tries, again });
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
