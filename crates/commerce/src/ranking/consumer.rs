//! The consumer on the product ranking topic: records in, entries on the boards of their days.
//! It decides nothing about retries or offsets; its verdict tells the runtime. Run by the consumers role.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use messaging::consumer::{Event, Failure, Handler, Outcome, Verdict};
use parking_lot::Mutex;

use super::days::Judged;
use super::events::{self, AMOUNT_HEADER, ProductSold};
use super::model::{AMOUNT_MAX, Entry, Position};
use super::ports::Error;
use super::{Progress, Rankings};
use crate::answer::StoreError;
use crate::clock;
use crate::ids::ProductId;

pub struct RankingHandler {
    rankings: Arc<Rankings>,
    /// Per partition, the offset that was gone back to last: when the log has nothing between it and the next batch,
    /// the board had lost nothing.
    gone_back: Mutex<HashMap<String, i64>>,
}

impl RankingHandler {
    #[must_use]
    pub fn new(rankings: Arc<Rankings>) -> Self {
        Self {
            rankings,
            gone_back: Mutex::default(),
        }
    }

    async fn count(&self, entries: Vec<Entry>, at: &Position) -> Result<Progress, Error> {
        let progress = self.rankings.apply(entries.clone(), Some(at)).await?;
        let Progress::Behind { next } = progress else {
            self.gone_back.lock().remove(&at.partition);
            return Ok(progress);
        };
        let before = self.gone_back.lock().insert(at.partition.clone(), next);
        if before != Some(next) {
            metrics::counter!("madang_ranking_rewinds_total").increment(1);
            tracing::warn!(
                partition = at.partition,
                next,
                start = at.start,
                "ranking board lost effects, going back"
            );
            return Ok(progress);
        }
        self.rankings.skip_gap(at).await?;
        self.rankings.apply(entries, Some(at)).await
    }

    /// Prices for records that carry no amount (another producer's).
    async fn prices(&self, sold: &[ProductSold]) -> Result<HashMap<ProductId, i64>, StoreError> {
        let mut ids: Vec<ProductId> = sold
            .iter()
            .filter(|s| s.amount.is_none())
            .map(|s| s.product)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let cards = self.rankings.ports.shelf.cards(&ids).await?;
        Ok(cards.into_iter().map(|c| (c.product, c.price)).collect())
    }

    /// What the record says, unless it never can be counted.
    fn readable(&self, event: &Event) -> Result<ProductSold, Failure> {
        let record = &event.record;
        let value = record.value.as_deref().unwrap_or_default();
        let amount = record.headers.text(AMOUNT_HEADER);
        let written = clock::from_us(record.timestamp_ms.saturating_mul(1_000));
        let sold = events::read(value, amount, written)?;
        let calendar = self.rankings.calendar();
        let day = calendar.day_of(sold.ordered_at);
        if calendar.judge(day, self.rankings.now()) == Judged::Future {
            let message = format!("orderedAt lies in the future: {}", sold.ordered_at);
            return Err(Failure::new("TimeInFuture", message));
        }
        Ok(sold)
    }
}

#[async_trait]
impl Handler for RankingHandler {
    async fn handle(&self, batch: &[Event]) -> Verdict {
        let (Some(first), Some(end)) = (batch.first(), batch.last()) else {
            return Verdict::Each(Vec::new());
        };
        let at = Position {
            partition: first.record.topic_partition().to_string(),
            start: first.record.offset,
            next: end.record.offset + 1,
        };
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut readable = Vec::with_capacity(batch.len());
        let mut sold = Vec::with_capacity(batch.len());
        for event in batch {
            match self.readable(event) {
                Ok(what) => {
                    outcomes.push(Outcome::Done);
                    readable.push(event);
                    sold.push(what);
                }
                Err(failure) => outcomes.push(Outcome::Dead(failure)),
            }
        }
        let prices = match self.prices(&sold).await {
            Ok(prices) => prices,
            Err(error) => {
                return Verdict::RetryAll(Failure::new("CatalogueUnavailable", error.to_string()));
            }
        };
        let entries = readable
            .iter()
            .zip(&sold)
            .map(|(event, sold)| self.entry(event, sold, &prices))
            .collect();
        match self.count(entries, &at).await {
            Ok(Progress::Done) => Verdict::Each(outcomes),
            Ok(Progress::Behind { next }) => Verdict::Rewind { offset: next },
            Err(error) => Verdict::RetryAll(failure(&error)),
        }
    }
}

impl RankingHandler {
    fn entry(&self, event: &Event, sold: &ProductSold, prices: &HashMap<ProductId, i64>) -> Entry {
        let priced = || {
            let price = prices.get(&sold.product).copied().unwrap_or(0);
            price
                .saturating_mul(sold.quantity)
                .clamp(-AMOUNT_MAX, AMOUNT_MAX)
        };
        Entry {
            identity: event.identity.clone(),
            day: self.rankings.calendar().day_of(sold.ordered_at),
            product: sold.product,
            quantity: sold.quantity,
            amount: sold.amount.unwrap_or_else(priced),
        }
    }
}

fn failure(error: &Error) -> Failure {
    let kind = match error {
        Error::Unavailable(_) => "BoardUnavailable",
        Error::Rebuilding(_) => "BoardRebuilding",
        Error::Lost(_) => "RebuildLost",
        Error::Failed(_) => "BoardFailed",
    };
    Failure::new(kind, error.to_string())
}
