//! Dead letters as an operator sees them: where they lie, what became of each, and the way back to the group that failed it.
//! It consumes nothing and commits nothing: a dead letter stays where it is for as long as its topic keeps it.
//! The command `dlt` calls it.

mod pages;
mod redrive;

use std::collections::HashSet;

use crate::consumer::journey::{self, Journey};
use crate::consumer::{dead_letter_topic, redrive_topic};
use crate::envelope::Origin;
use crate::log::{Error, EventLog};
use crate::outbox::relay;
use crate::record::{Outgoing, Record};

pub use pages::Pages;
pub use redrive::{Options, Redriven, redrive};

/// Which dead letter a record is a redrive of, as `Mark` writes it. It travels with the record, so that publishing it and
/// remembering that it was published are one step.
pub const REDRIVEN_FROM: &str = "madang-redriven-from";

/// The group that stands for the relay in the names of its dead-letter topics.
pub const RELAY_GROUP: &str = "outbox";

/// A dead-letter topic and where its records come back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub source: String,
    /// Whose failures these are; `RELAY_GROUP` for records that their own topic refused.
    pub group: String,
    pub topic: String,
    pub destination: String,
}

impl Place {
    /// Failures of a group: it alone reads the topic they come back to.
    #[must_use]
    pub fn of_group(source: &str, group: &str) -> Self {
        Self {
            source: source.to_owned(),
            group: group.to_owned(),
            topic: dead_letter_topic(source, group),
            destination: redrive_topic(source, group),
        }
    }

    /// What a topic refused from the relay no group has seen: it comes back to that topic.
    #[must_use]
    pub fn of_relay(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            group: RELAY_GROUP.to_owned(),
            topic: relay::dead_letter_topic(source),
            destination: source.to_owned(),
        }
    }

    fn is_of_relay(&self) -> bool {
        self.destination == self.source
    }

    /// The marks of all dead letters of this place that have been redriven, as long as the log keeps them.
    ///
    /// # Errors
    /// The log's; a destination that does not exist has none.
    pub async fn redriven(&self, log: &dyn EventLog) -> Result<HashSet<String>, Error> {
        let mut pages = match Pages::open(log, &self.destination).await {
            Ok(pages) => pages,
            Err(Error::UnknownTopic(_)) => return Ok(HashSet::new()),
            Err(error) => return Err(error),
        };
        let mut marks = HashSet::new();
        while let Some(page) = pages.next().await? {
            let found = page
                .iter()
                .filter_map(|record| record.headers.text(REDRIVEN_FROM));
            marks.extend(found.map(ToOwned::to_owned));
        }
        Ok(marks)
    }
}

/// What a dead letter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Where it first lay; `None` where it does not say, and of the relay's, which lay nowhere.
    pub origin: Option<Origin>,
    /// When it was first written, in milliseconds since the epoch.
    pub written_ms: Option<i64>,
    /// The failure's stable name, such as `DeliveryRefused`; "" where it does not say.
    pub cause: String,
    pub message: String,
    /// How often it was delivered to the group.
    pub deliveries: u32,
}

impl Story {
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let (cause, message) = journey::cause(&record.headers);
        let journey = Journey::of_dead_letter(record);
        let told = journey.origin != Journey::fresh(record).origin;
        Self {
            written_ms: told.then_some(journey.timestamp_ms),
            origin: told.then_some(journey.origin),
            cause: cause.unwrap_or_default().to_owned(),
            message: message.unwrap_or_default().to_owned(),
            deliveries: if told { journey.attempt } else { 0 },
        }
    }
}

/// Names one dead letter: `topic-partition@offset`, as commands print and read it.
#[must_use]
pub fn id(record: &Record) -> String {
    format!("{}-{}@{}", record.topic, record.partition, record.offset)
}

/// Its id and when it was written (milliseconds since the epoch): offsets begin anew where a topic is made anew.
#[must_use]
pub fn mark(record: &Record) -> String {
    format!("{} {}", id(record), record.timestamp_ms)
}

/// The dead letter on its way back: key, value and headers as they came, its first place and the count of its deliveries with it.
#[must_use]
pub fn outgoing(place: &Place, record: &Record) -> Outgoing {
    let (mut headers, partition) = if place.is_of_relay() {
        // It has not been anywhere: its key tells the partition.
        (journey::unrefused_headers(record.headers.clone()), None)
    } else {
        let journey = Journey::of_dead_letter(record);
        let headers = journey::redriven_headers(record, &journey, &place.group);
        (headers, Some(record.partition))
    };
    headers.replace(REDRIVEN_FROM, mark(record));
    Outgoing {
        topic: place.destination.clone(),
        partition,
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
        timestamp_ms: None,
    }
}
