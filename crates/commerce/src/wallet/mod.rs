//! Wallets: what a user has to spend, and the ledger that explains it. A wallet opens at balance 0 on first use.
//! Payments and refunds are written by the order's transaction; here money comes in. The binary builds `Wallets`.

pub mod http;
pub mod model;
pub mod store;

use std::sync::Arc;

use crate::answer::{Answered, Claim, Keyed, StoreError};
use crate::clock::Clock;
use crate::ids::{Allocator, Series, UserId};
use crate::page::{Cursor, Page, PageRequest};

pub use model::{Charge, ChargeAmount, Charged, Entry, EntryKind, Refusal};
pub use store::Store;

/// The wallets of one shop.
pub struct Wallets {
    store: Arc<dyn Store>,
    ids: Arc<Allocator>,
    clock: Arc<dyn Clock>,
}

impl Wallets {
    #[must_use]
    pub fn new(store: Arc<dyn Store>, ids: Arc<Allocator>, clock: Arc<dyn Clock>) -> Self {
        Self { store, ids, clock }
    }

    /// Tops a wallet up.
    ///
    /// # Errors
    /// Those of the store; a refusal is an answer.
    pub async fn charge(
        &self,
        user: UserId,
        amount: ChargeAmount,
        claim: Option<&Claim>,
    ) -> Result<Answered, StoreError> {
        let entry_id = self.ids.one(Series::WalletEntry).await;
        let command = Charge {
            user,
            amount,
            entry_id: entry_id.map_err(|e| StoreError::Unavailable(e.to_string()))?,
            at: self.clock.now(),
        };
        let keyed = Keyed {
            command,
            claim,
            render: &http::charge_answer,
        };
        self.store.charge(keyed).await
    }

    /// # Errors
    /// Those of the store.
    pub async fn balance(&self, user: UserId) -> Result<crate::amount::Won, StoreError> {
        self.store.balance(user).await
    }

    /// The ledger, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn history(
        &self,
        user: UserId,
        page: PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        let rows = self.store.history(user, page).await?;
        Ok(Page::cut(rows, page.limit, |entry| Cursor {
            major: entry.created_at.as_microsecond(),
            minor: entry.id.get(),
        }))
    }
}
