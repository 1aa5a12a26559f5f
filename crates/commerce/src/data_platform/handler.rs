//! The consumer of data-platform-transfer-topic: what was received before is skipped, the rest is delivered, receipts are noted.
//! How a delivery travels is the sink's business, how often it is tried again the consumer runtime's.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use messaging::consumer::{Event, Failure, Handler, Outcome, Verdict};
use messaging::envelope::{CE_ID, Identity};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::breaker::{self, Breaker, Permit};
use super::ports::{Delivered, Delivery, Receipts, Sink};
use crate::answer::StoreError;
use crate::clock::Clock;
use crate::wire::{self, LenientInteger};

pub struct DataPlatform {
    sink: Arc<dyn Sink>,
    breaker: Breaker,
}

/// Why an event was not delivered inside the request that caused it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeliverError {
    /// It may succeed later.
    #[error("data platform unavailable: {0}")]
    Unavailable(String),
    #[error("data platform refused the event: {0}")]
    Refused(String),
}

impl DataPlatform {
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, settings: breaker::Settings) -> Self {
        Self {
            sink,
            breaker: Breaker::new(settings),
        }
    }

    /// Delivers one DataPlatform value at once, with no topic between. It writes no receipt, since the caller may hold a
    /// transaction open: the caller notes `identity` there.
    ///
    /// # Errors
    /// `DeliverError`.
    pub async fn deliver_inline(&self, id: &str, value: Bytes) -> Result<(), DeliverError> {
        check(Some(&value)).map_err(|failure| DeliverError::Refused(failure.message))?;
        if self.breaker.permit(Instant::now()) == Permit::None {
            return Err(DeliverError::Unavailable(LEFT_ALONE.to_owned()));
        }
        let delivery = Delivery {
            id: printable(id),
            value,
        };
        match self.deliver(&[delivery]).await.0.pop() {
            Some(Delivered::Received) => Ok(()),
            Some(Delivered::Refused { cause }) => Err(DeliverError::Refused(cause)),
            Some(Delivered::Retry { cause, .. }) => Err(DeliverError::Unavailable(cause)),
            None => Err(DeliverError::Unavailable(NO_WORD.to_owned())),
        }
    }

    /// Delivers, and tells the breaker; answers also whether the sink is to be left alone now.
    async fn deliver(&self, batch: &[Delivery]) -> (Vec<Delivered>, bool) {
        let mut results = self.sink.deliver(batch).await;
        results.resize_with(batch.len(), || Delivered::Retry {
            cause: NO_WORD.to_owned(),
            after_ms: None,
        });
        let mut left_alone = false;
        for result in &results {
            let name = match result {
                Delivered::Received => "received",
                Delivered::Refused { .. } => "refused",
                Delivered::Retry { .. } => "failed",
            };
            metrics::counter!("madang_data_platform_deliveries_total", "result" => name)
                .increment(1);
            left_alone = match result {
                Delivered::Retry { after_ms, .. } => self.breaker.failed(Instant::now(), *after_ms),
                Delivered::Received | Delivered::Refused { .. } => {
                    self.breaker.answered();
                    false
                }
            };
        }
        (results, left_alone)
    }
}

const LEFT_ALONE: &str = "it failed too often in a row and is left alone for a while";
const NO_WORD: &str = "the sink said nothing about the event";

pub struct DataPlatformHandler {
    platform: Arc<DataPlatform>,
    receipts: Arc<dyn Receipts>,
    clock: Arc<dyn Clock>,
}

impl DataPlatformHandler {
    #[must_use]
    pub fn new(
        platform: Arc<DataPlatform>,
        receipts: Arc<dyn Receipts>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            platform,
            receipts,
            clock,
        }
    }
}

#[async_trait]
impl Handler for DataPlatformHandler {
    async fn handle(&self, batch: &[Event]) -> Verdict {
        match self.carry_out(batch).await {
            Ok(outcomes) => Verdict::Each(outcomes),
            Err(failure) => Verdict::RetryAll(failure),
        }
    }
}

impl DataPlatformHandler {
    /// An error is about the whole batch: the sink or the receipts are away.
    async fn carry_out(&self, batch: &[Event]) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes: Vec<Outcome> = batch
            .iter()
            .map(|event| match check(event.record.value.as_deref()) {
                Ok(()) => Outcome::Done,
                Err(failure) => Outcome::Dead(failure),
            })
            .collect();
        let pending = self.pending(batch, &outcomes).await?;
        let mut rest = pending.as_slice();
        while !rest.is_empty() {
            let size = match self.platform.breaker.permit(Instant::now()) {
                Permit::All => self.platform.sink.batch_max().clamp(1, rest.len()),
                Permit::Probe => 1,
                Permit::None => return Err(Failure::new("CircuitOpen", LEFT_ALONE)),
            };
            let (piece, tail) = rest.split_at(size);
            rest = tail;
            self.deliver(batch, piece, &mut outcomes).await?;
        }
        Ok(outcomes)
    }

    /// Indexes of the events that are sound and were not received yet; an event that is there twice, once.
    async fn pending(&self, batch: &[Event], outcomes: &[Outcome]) -> Result<Vec<usize>, Failure> {
        let identities: Vec<Identity> = batch.iter().map(|e| e.identity.clone()).collect();
        let seen = self
            .receipts
            .seen(&identities)
            .await
            .map_err(receipts_away)?;
        let mut taken = std::collections::HashSet::new();
        let pending = (0..batch.len()).filter(|index| {
            outcomes[*index] == Outcome::Done
                && !seen.get(*index).copied().unwrap_or(false)
                && taken.insert(&identities[*index])
        });
        Ok(pending.collect())
    }

    async fn deliver(
        &self,
        batch: &[Event],
        piece: &[usize],
        outcomes: &mut [Outcome],
    ) -> Result<(), Failure> {
        let deliveries: Vec<Delivery> = piece.iter().map(|i| delivery(&batch[*i])).collect();
        let (results, left_alone) = self.platform.deliver(&deliveries).await;
        let mut received = Vec::with_capacity(piece.len());
        for (index, result) in piece.iter().zip(results) {
            outcomes[*index] = match result {
                Delivered::Received => {
                    received.push(batch[*index].identity.clone());
                    Outcome::Done
                }
                Delivered::Retry { cause, after_ms } => Outcome::Retry {
                    failure: Failure::new("DeliveryFailed", cause),
                    after_ms,
                },
                Delivered::Refused { cause } => {
                    Outcome::Dead(Failure::new("DeliveryRefused", cause))
                }
            };
        }
        if !received.is_empty() {
            let now_us = self.clock.now().as_microsecond();
            self.receipts
                .note(&received, now_us)
                .await
                .map_err(receipts_away)?;
        }
        if left_alone {
            // It is down rather than picky: no event's tries are used up for that.
            return Err(Failure::new("CircuitOpen", LEFT_ALONE));
        }
        Ok(())
    }
}

fn receipts_away(error: StoreError) -> Failure {
    Failure::new("ReceiptsUnavailable", error.to_string())
}

#[derive(Deserialize)]
struct Order {
    #[serde(rename = "orderId")]
    _order_id: LenientInteger,
}

/// A JSON object with an integer orderId is all that the platform can be sure to read.
fn check(value: Option<&[u8]>) -> Result<(), Failure> {
    wire::object::<Order>(value)
        .map(|_| ())
        .map_err(|message| Failure::new("MalformedValue", message))
}

fn delivery(event: &Event) -> Delivery {
    let id = match event.record.headers.text(CE_ID).filter(|id| !id.is_empty()) {
        Some(id) => printable(id),
        None => match &event.identity {
            Identity::Seq(number) => format!("data-platform-{number}"),
            Identity::Foreign(id) => printable(id),
        },
    };
    Delivery {
        id,
        value: event.record.value.clone().unwrap_or_default(),
    }
}

/// The id itself where a header can carry it, else its digest.
fn printable(id: &str) -> String {
    if id.len() <= 300 && id.bytes().all(|b| b.is_ascii_graphic()) {
        return id.to_owned();
    }
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
