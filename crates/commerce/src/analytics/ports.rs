//! What analytics asks of a database. Implemented by `stores::sql::analytics`.

use async_trait::async_trait;

use super::sale::{Amounts, Sale};
use crate::answer::StoreError;
use crate::ids::ProductId;

/// Hours from `from_us` up to and not including `to_us`, both starts of hours, in microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from_us: i64,
    pub to_us: i64,
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Adds the sales that were not noted yet and notes them, in one transaction; says how many were new.
    /// `StoreError::Failed`: one of them may be the cause.
    async fn apply(&self, sales: &[Sale], now_us: i64) -> Result<usize, StoreError>;

    /// All products together, by hour: the hour's start and its sums, in order of hour. Hours without a sale are left out.
    async fn by_hour(&self, span: Span) -> Result<Vec<(i64, Amounts)>, StoreError>;

    /// By product over the whole span, highest amount first, at most `limit`.
    async fn by_product(
        &self,
        span: Span,
        limit: u32,
    ) -> Result<Vec<(ProductId, Amounts)>, StoreError>;
}
