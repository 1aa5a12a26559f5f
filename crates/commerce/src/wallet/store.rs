//! What the wallets need from a database. Implemented in `stores`, called by `Wallets`.

use async_trait::async_trait;

use super::{Charge, Charged, Entry, Refusal};
use crate::amount::Won;
use crate::answer::{Answered, Keyed, StoreError};
use crate::ids::UserId;
use crate::page::PageRequest;

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Adds to the balance under the wallet's lock (`Charge::decide`) and writes the ledger's row, in one transaction.
    async fn charge(
        &self,
        charge: Keyed<'_, Charge, Charged, Refusal>,
    ) -> Result<Answered, StoreError>;

    /// 0 for a wallet that was never used.
    async fn balance(&self, user: UserId) -> Result<Won, StoreError>;

    /// Newest first by (created_at, id), from after the cursor, at most one more than the limit.
    async fn history(&self, user: UserId, page: PageRequest) -> Result<Vec<Entry>, StoreError>;
}
