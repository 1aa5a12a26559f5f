//! What the data platform's consumer needs: somewhere to deliver to, and a memory of what was delivered.
//! Sinks are `http_sink` and `files`; receipts are kept by `stores::sql::receipts`.

use async_trait::async_trait;
use bytes::Bytes;
use messaging::envelope::Identity;

use crate::answer::StoreError;

/// One event on its way to the data platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same at every try: what the other side tells repeats by. Printable ASCII.
    pub id: String,
    /// A JSON object.
    pub value: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    Received,
    /// It may be received later; `after_ms` is the other side's wish.
    Retry {
        cause: String,
        after_ms: Option<u64>,
    },
    /// It will never be received.
    Refused {
        cause: String,
    },
}

#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// How many events are best delivered at a time, at least 1.
    fn batch_max(&self) -> usize;

    /// Delivers each event at least once and says how each fared, in their order.
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Delivered>;
}

#[async_trait]
pub trait Receipts: Send + Sync + 'static {
    /// Which of these were received before, in their order.
    async fn seen(&self, identities: &[Identity]) -> Result<Vec<bool>, StoreError>;

    /// Keeps that these were received.
    async fn note(&self, identities: &[Identity], now_us: i64) -> Result<(), StoreError>;
}
