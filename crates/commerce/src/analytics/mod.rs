//! Sales per product and hour, counted from OrderCompleted events, and the operator's reports on them.
//! Not an authority: the orders are, and what is here can be counted again from them.
//! The consumer of order-completed-topic and the inline follow-up write; the route reads.

pub mod http;
pub mod ports;
pub mod report;
pub mod sale;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use messaging::consumer::{Event, Failure, Handler, Outcome, Verdict};
use messaging::envelope::Identity;

use crate::answer::StoreError;
use crate::clock::{Clock, from_us};

pub use ports::{Span, Store};
pub use report::{By, Limits, Question, Report, ReportQuery};
pub use sale::{Amounts, Sale};

/// The name its notes are kept under.
pub const CONSUMER: &str = "analytics";

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where days begin; hours begin where its clocks show a full hour.
    pub time_zone: TimeZone,
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Seoul, which has no summer time.
            time_zone: TimeZone::fixed(jiff::tz::offset(9)),
            limits: Limits::default(),
        }
    }
}

pub struct Sales {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    settings: Settings,
}

/// Why events could not be counted inside the request that caused them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("event cannot be counted: {0}")]
    Malformed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sales {
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self {
            store,
            clock,
            settings,
        }
    }

    /// Counts OrderCompleted values outside the log, exactly as the consumer would: an event with the same identity
    /// counts once, whichever way it came.
    ///
    /// # Errors
    /// `RecordError`; nothing is counted then.
    pub async fn record(&self, events: &[(Identity, Bytes)]) -> Result<(), RecordError> {
        let now = self.clock.now();
        let sales = events
            .iter()
            .map(|(identity, value)| self.read(identity, Some(value), now))
            .collect::<Result<Vec<_>, _>>()
            .map_err(RecordError::Malformed)?;
        self.apply(&sales).await?;
        Ok(())
    }

    /// # Errors
    /// The field's name and what is wrong with it.
    pub fn question(&self, query: &ReportQuery) -> Result<Question, (&'static str, String)> {
        query.check(
            self.clock.now(),
            &self.settings.time_zone,
            &self.settings.limits,
        )
    }

    /// # Errors
    /// Those of the store.
    pub async fn report(&self, question: Question) -> Result<Report, StoreError> {
        let Question { by, span } = question;
        let mut truncated = false;
        let items = match by {
            By::Hour => report::hours(&self.store.by_hour(span).await?),
            By::Day => {
                let rows = self.store.by_hour(span).await?;
                report::days(&rows, &self.settings.time_zone)
                    .ok_or_else(|| StoreError::Failed("sums of a day pass 64 bits".into()))?
            }
            By::Product => {
                let limit = self.settings.limits.products_max;
                let mut rows = self.store.by_product(span, limit + 1).await?;
                truncated = rows.len() > limit as usize;
                rows.truncate(limit as usize);
                report::products(&rows)
            }
        };
        Ok(Report {
            by,
            from: from_us(span.from_us),
            to: from_us(span.to_us),
            items,
            truncated,
        })
    }

    fn read(
        &self,
        identity: &Identity,
        value: Option<&[u8]>,
        written: Timestamp,
    ) -> Result<Sale, String> {
        sale::read(identity, value, written, &self.settings.time_zone)
    }

    async fn apply(&self, sales: &[Sale]) -> Result<(), StoreError> {
        if sales.is_empty() {
            return Ok(());
        }
        let now_us = self.clock.now().as_microsecond();
        let new = self.store.apply(sales, now_us).await?;
        let repeated = sales.len().saturating_sub(new);
        metrics::counter!("madang_analytics_events_total", "seen" => "first").increment(new as u64);
        metrics::counter!("madang_analytics_events_total", "seen" => "again")
            .increment(repeated as u64);
        Ok(())
    }
}

/// The consumer of order-completed-topic.
pub struct SalesHandler(pub Arc<Sales>);

#[async_trait]
impl Handler for SalesHandler {
    async fn handle(&self, batch: &[Event]) -> Verdict {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut sales = Vec::with_capacity(batch.len());
        for event in batch {
            let written = from_us(event.record.timestamp_ms.saturating_mul(1_000));
            let value = event.record.value.as_deref();
            match self.0.read(&event.identity, value, written) {
                Ok(sale) => {
                    sales.push(sale);
                    outcomes.push(Outcome::Done);
                }
                Err(message) => {
                    outcomes.push(Outcome::Dead(Failure::new("MalformedValue", message)));
                }
            }
        }
        match self.0.apply(&sales).await {
            Ok(()) => Verdict::Each(outcomes),
            Err(StoreError::Failed(cause)) => Verdict::Suspect(Failure::new("StoreFailed", cause)),
            // After a commit without an answer the notes tell whether it happened.
            Err(error) => Verdict::RetryAll(Failure::new("DatabaseUnavailable", error.to_string())),
        }
    }
}

#[cfg(test)]
mod handler_tests;
