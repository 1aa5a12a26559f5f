//! Dead letters sent back, at a rate, as far as they are wanted. What was sent is counted once the log has it.
//! Stopping between two records leaves nothing half done: running it again goes on where it stopped.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Pages, Place, mark, outgoing};
use crate::log::{Error, EventLog};
use crate::record::{Outgoing, Record};

/// Records on their way to the log at once, at most.
const IN_FLIGHT_MAX: usize = 100;

#[derive(Clone, Debug)]
pub struct Options {
    /// At least 1.
    pub rate_per_second: u32,
    /// Records sent (or, in a dry run, that would be) at most.
    pub limit: Option<u64>,
    /// Also what has been sent before.
    pub again: bool,
    /// Only count.
    pub dry_run: bool,
}

/// How far a redrive came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Sent and durable; in a dry run: what would be sent.
    pub sent: u64,
    /// Wanted and sent before; with `again` they are among `sent` too.
    pub sent_before: u64,
    /// It was cancelled before it came to the end.
    pub stopped: bool,
}

/// Sends the wanted dead letters of a place back, in offset order per partition. `progress` says how far it came, also when
/// it fails.
///
/// # Errors
/// The log's: what was not acknowledged counts as not sent. `UnknownTopic` when one of the place's two topics is not there.
pub async fn redrive(
    log: &dyn EventLog,
    place: &Place,
    options: &Options,
    wanted: impl Fn(&Record) -> bool,
    cancel: &CancellationToken,
    progress: &mut Redriven,
) -> Result<(), Error> {
    let mut pages = Pages::open(log, &place.topic).await?;
    if pages.is_empty() {
        return Ok(());
    }
    let before = place.redriven(log).await?;
    let road = Road::open(log, place, options).await?;
    let rate = options.rate_per_second.max(1);
    // About ten batches a second, so that the rate is even.
    let batch_max = usize::try_from(rate / 10)
        .unwrap_or(IN_FLIGHT_MAX)
        .clamp(1, IN_FLIGHT_MAX);
    let mut free_at = Instant::now();
    while let Some(page) = pages.next().await? {
        let mut batch: Vec<&Record> = Vec::with_capacity(page.len());
        for record in page.iter().filter(|record| wanted(record)) {
            if before.contains(&mark(record)) {
                progress.sent_before += 1;
                if !options.again {
                    continue;
                }
            }
            batch.push(record);
        }
        for records in batch.chunks(batch_max) {
            let left = options
                .limit
                .map_or(u64::MAX, |limit| limit - progress.sent);
            let records = &records[..records
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX))];
            if records.is_empty() {
                return Ok(());
            }
            if options.dry_run {
                progress.sent += records.len() as u64;
                continue;
            }
            let waited = cancel.run_until_cancelled(tokio::time::sleep_until(free_at));
            if waited.await.is_none() {
                progress.stopped = true;
                return Ok(());
            }
            let share =
                Duration::from_secs(1) * u32::try_from(records.len()).unwrap_or(rate) / rate;
            free_at = Instant::now() + share;
            road.send(records, progress).await?;
        }
        if cancel.is_cancelled() {
            progress.stopped = true;
            return Ok(());
        }
    }
    Ok(())
}

struct Road<'a> {
    log: &'a dyn EventLog,
    place: &'a Place,
    /// Of the destination.
    partitions: i32,
}

impl<'a> Road<'a> {
    async fn open(
        log: &'a dyn EventLog,
        place: &'a Place,
        options: &Options,
    ) -> Result<Self, Error> {
        let partitions = match log.watermarks(&place.destination).await {
            Ok(marks) => i32::try_from(marks.len()).unwrap_or(i32::MAX),
            Err(Error::UnknownTopic(_)) if options.dry_run => 0,
            Err(error) => return Err(error),
        };
        Ok(Self {
            log,
            place,
            partitions,
        })
    }

    async fn send(&self, records: &[&Record], progress: &mut Redriven) -> Result<(), Error> {
        let batch = records.iter().map(|record| {
            let back = outgoing(self.place, record);
            // A destination may have fewer partitions than the dead letters' topic: then the key chooses.
            let partition = back.partition.filter(|at| *at < self.partitions);
            Outgoing { partition, ..back }
        });
        let results = self.log.publish(batch.collect()).await;
        let mut failed = None;
        for result in results {
            match result {
                Ok(_) => progress.sent += 1,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
