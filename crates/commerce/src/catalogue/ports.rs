//! What the catalogue asks of a database. Implemented by `stores::sql::catalogue`; counted and cached by `cache`.

use async_trait::async_trait;

use super::decide::Refusal;
use super::model::{Adjustment, Change, NewProduct, Product};
use crate::answer::{Answered, Keyed, StoreError};
use crate::ids::ProductId;

/// How the outcome of a command becomes its answer.
pub type Render<'a> =
    &'a (dyn Fn(&Result<Product, Refusal>) -> crate::answer::Answer + Send + Sync);

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Those of the products that exist, in no particular order.
    async fn products(&self, ids: &[ProductId]) -> Result<Vec<Product>, StoreError>;

    /// Products in order of id, after `after`, at most `limit`.
    async fn page(&self, after: Option<i64>, limit: u32) -> Result<Vec<Product>, StoreError>;

    /// Writes the product and, where it has stock, the ledger's first row.
    async fn create(
        &self,
        command: Keyed<'_, NewProduct, Product, Refusal>,
    ) -> Result<Answered, StoreError>;

    /// `decide::change` under the product's lock. The stock is not touched.
    async fn change(
        &self,
        command: Keyed<'_, Change, Product, Refusal>,
    ) -> Result<Answered, StoreError>;

    /// `decide::adjust` under the product's lock; the stock is moved, not set, and its ledger gets a row.
    async fn adjust(
        &self,
        command: Keyed<'_, Adjustment, Product, Refusal>,
    ) -> Result<Answered, StoreError>;
}
