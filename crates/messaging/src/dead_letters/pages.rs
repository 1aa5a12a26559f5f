//! A topic read from its first record to the end that it had when reading began, outside any group.
//! What is written meanwhile is left for the next time: what fails again is not met twice.

use std::collections::VecDeque;

use crate::log::{Error, EventLog};
use crate::record::{Record, TopicPartition};

/// Records of one read, and how long it may wait for them.
const PAGE_MAX: usize = 500;
const WAIT_MS: u64 = 1_000;
/// Reads in a row that may bring nothing though there should be something.
const EMPTY_MAX: u32 = 5;

pub struct Pages<'a> {
    log: &'a dyn EventLog,
    partitions: VecDeque<Part>,
    empty: u32,
}

struct Part {
    at: TopicPartition,
    next: i64,
    end: i64,
}

impl<'a> Pages<'a> {
    /// # Errors
    /// The log's; `UnknownTopic` when it is not there.
    pub async fn open(log: &'a dyn EventLog, topic: &str) -> Result<Self, Error> {
        let marks = log.watermarks(topic).await?;
        let partitions = marks.into_iter().map(|marks| Part {
            at: TopicPartition::new(topic, marks.partition),
            next: marks.low,
            end: marks.high,
        });
        Ok(Self {
            log,
            partitions: partitions.collect(),
            empty: 0,
        })
    }

    /// Whether there was no record when reading began.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(|part| part.next >= part.end)
    }

    /// Some records of one partition in offset order, never none; `None` at the end of the last partition. Cancel-safe.
    ///
    /// # Errors
    /// The log's.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, Error> {
        while let Some(part) = self.partitions.front_mut() {
            if part.next >= part.end {
                self.partitions.pop_front();
                continue;
            }
            let mut records = self
                .log
                .read(&part.at, part.next, PAGE_MAX, WAIT_MS)
                .await?;
            let Some(last) = records.last() else {
                self.empty += 1;
                if self.empty >= EMPTY_MAX {
                    // Compacted away, aborted, deleted meanwhile, or not coming: they cannot be told apart, and must not be passed over in silence.
                    tracing::warn!(
                        partition = %part.at, from = part.next, to = part.end,
                        "nothing can be read between these offsets; if records are to be there, read again",
                    );
                    self.empty = 0;
                    self.partitions.pop_front();
                }
                continue;
            };
            self.empty = 0;
            part.next = last.offset + 1;
            records.retain(|record| record.offset < part.end);
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }
}
