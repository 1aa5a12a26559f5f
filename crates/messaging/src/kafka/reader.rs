//! Reading a partition outside any group, as commands and redrives do.
//! A few idle readers are kept with their position, so that reading on costs no new connection. `KafkaLog` owns it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::log::Error;
use crate::record::{Record, TopicPartition};

use super::admin;
use super::errors;
use super::records;
use super::reporter::Reporter;
use super::settings::Settings;

type Client = BaseConsumer<Reporter>;

const IDLE_MAX: usize = 4;

pub struct Readers {
    settings: Settings,
    idle: Mutex<Vec<Reader>>,
}

struct Reader {
    client: Client,
    /// What it is assigned to, and the offset its next record will have at least.
    at: Option<(TopicPartition, i64)>,
}

impl Readers {
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            idle: Mutex::default(),
        }
    }

    /// Blocks for `wait` at most when there is nothing to read, and for the request timeout when there is.
    pub fn read(
        &self,
        at: &TopicPartition,
        offset: i64,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Record>, Error> {
        let mut reader = self.take(at, offset)?;
        let request = Duration::from_millis(self.settings.request_timeout_ms);
        let bytes_max = self.settings.fetch_bytes_max;
        let read = reader.read(at, offset, max, bytes_max, wait, request);
        if read.is_ok() {
            let mut idle = self.idle.lock();
            if idle.len() < IDLE_MAX {
                idle.push(reader);
            }
        }
        read
    }

    fn take(&self, at: &TopicPartition, offset: i64) -> Result<Reader, Error> {
        {
            let mut idle = self.idle.lock();
            let fits = |reader: &Reader| {
                reader
                    .at
                    .as_ref()
                    .is_some_and(|(p, o)| p == at && *o == offset)
            };
            let found = idle.iter().position(fits);
            if let Some(index) = found.or_else(|| idle.len().checked_sub(1)) {
                return Ok(idle.swap_remove(index));
            }
        }
        let group = format!("{}-reader", self.settings.client_id);
        let config = self.settings.onlooker(&group);
        let client = Client::from_config_and_context(&config, Reporter::new("reader"));
        Ok(Reader {
            client: client.map_err(|error| errors::of(&error))?,
            at: None,
        })
    }
}

impl Reader {
    fn read(
        &mut self,
        at: &TopicPartition,
        offset: i64,
        max: usize,
        bytes_max: usize,
        wait: Duration,
        request: Duration,
    ) -> Result<Vec<Record>, Error> {
        let until = Instant::now() + wait;
        let goes_on = self
            .at
            .as_ref()
            .is_some_and(|(p, o)| p == at && *o == offset);
        if !goes_on {
            self.at = None;
            admin::topic(&self.client, &at.topic, request)?;
        }
        let marks = self
            .client
            .fetch_watermarks(&at.topic, at.partition, request);
        let (low, high) = marks.map_err(|error| errors::of(&error))?;
        let start = offset.max(low);
        if start > high {
            // Nothing can be read there before as much has been written.
            std::thread::park_timeout(wait);
            return Ok(Vec::new());
        }
        if !goes_on || start > offset {
            self.assign(at, start)?;
        }
        // Records that are there are worth the time to fetch them.
        let until = match start < high {
            true => until.max(Instant::now() + request),
            false => until,
        };
        let records = self.poll(at, start, high, max, bytes_max, until)?;
        let next = records.last().map_or(start, |last| last.offset + 1);
        self.at = Some((at.clone(), next));
        Ok(records)
    }

    fn assign(&self, at: &TopicPartition, start: i64) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(start))
            .map_err(|error| errors::of(&error))?;
        self.client
            .assign(&list)
            .map_err(|error| errors::of(&error))
    }

    fn poll(
        &self,
        at: &TopicPartition,
        start: i64,
        high: i64,
        max: usize,
        bytes_max: usize,
        until: Instant,
    ) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < max && bytes < bytes_max {
            let left = match records.is_empty() {
                true => until.saturating_duration_since(Instant::now()),
                false => Duration::ZERO,
            };
            match self.client.poll(left) {
                Some(Ok(message)) if message.offset() >= start => {
                    bytes += message.payload_len() + message.key_len();
                    records.push(records::record(&message, at));
                }
                Some(Ok(_)) => {}
                // The end, though records were to be here: compacted away or aborted.
                Some(Err(KafkaError::PartitionEOF(_))) if start < high => break,
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) if is_over(&error) => return Err(errors::of(&error)),
                Some(Err(_)) => {}
                None if !records.is_empty() || Instant::now() >= until => break,
                None => {}
            }
        }
        self.client.context().answered();
        Ok(records)
    }
}

fn is_over(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}
