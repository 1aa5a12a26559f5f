//! The catalogue: what is for sale, at which price, and how much of it is on hand.
//! Not the place where stock is sold: orders do that in their own transaction.
//! Its routes are in `http`; `ranking` asks it for names and prices.

mod cache;
pub mod decide;
pub mod http;
pub mod model;
pub mod ports;

use std::sync::Arc;

use crate::amount::{Name, Won};
use crate::answer::{Answered, Claim, Keyed, StoreError};
use crate::clock::Clock;
use crate::ids::{Allocator, ProductId, Series};
use crate::page::{Page, PageRequest};

pub use cache::Settings;
pub use decide::Refusal;
pub use model::{Adjustment, Change, Listing, NewProduct, Product, ProductView, Status, Stock};
pub use ports::{Render, Store};

use cache::Shelf;

/// What an operator puts into the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub name: Name,
    pub price: Won,
    pub stock: Stock,
    pub listing: Listing,
}

/// What an operator changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    pub name: Option<Name>,
    pub price: Option<Won>,
    pub status: Option<Status>,
}

pub struct Catalogue {
    store: Arc<dyn Store>,
    ids: Arc<Allocator>,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
}

impl Catalogue {
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        ids: Arc<Allocator>,
        clock: Arc<dyn Clock>,
        settings: &Settings,
    ) -> Self {
        Self {
            shelf: Shelf::new(store.clone(), settings),
            store,
            ids,
            clock,
        }
    }

    /// The product as it was at most `ttl_ms` ago.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn product(&self, id: ProductId) -> Result<Option<Arc<Product>>, StoreError> {
        self.shelf.product(id).await
    }

    /// A page in order of id, as it was at most `ttl_ms` ago.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, asked: PageRequest) -> Result<Arc<Page<ProductView>>, StoreError> {
        self.shelf.page(asked).await
    }

    /// Many products at once, in the order asked for; those that do not exist are left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn cards(&self, ids: &[ProductId]) -> Result<Arc<Vec<Product>>, StoreError> {
        if ids.is_empty() {
            return Ok(Arc::default());
        }
        self.shelf.cards(ids).await
    }

    /// # Errors
    /// Those of the store; a refusal is an answer.
    pub async fn create(
        &self,
        draft: Draft,
        claim: Option<&Claim>,
        render: Render<'_>,
    ) -> Result<Answered, StoreError> {
        let id =
            ProductId::try_from(self.number(Series::Product).await?).map_err(StoreError::Failed)?;
        let command = NewProduct {
            id,
            entry_id: self.number(Series::StockEntry).await?,
            name: draft.name,
            price: draft.price,
            stock: draft.stock,
            listing: draft.listing,
            at: self.clock.now(),
        };
        let answered = self
            .store
            .create(Keyed {
                command,
                claim,
                render,
            })
            .await;
        self.shelf.forget(id);
        answered
    }

    /// # Errors
    /// Those of the store; a refusal is an answer.
    pub async fn change(
        &self,
        id: ProductId,
        revision: Revision,
        claim: Option<&Claim>,
        render: Render<'_>,
    ) -> Result<Answered, StoreError> {
        let command = Change {
            id,
            name: revision.name,
            price: revision.price,
            status: revision.status,
            at: self.clock.now(),
        };
        let answered = self
            .store
            .change(Keyed {
                command,
                claim,
                render,
            })
            .await;
        self.shelf.forget(id);
        answered
    }

    /// `delta`: not 0.
    ///
    /// # Errors
    /// Those of the store; a refusal is an answer.
    pub async fn adjust(
        &self,
        id: ProductId,
        delta: i64,
        claim: Option<&Claim>,
        render: Render<'_>,
    ) -> Result<Answered, StoreError> {
        let command = Adjustment {
            id,
            entry_id: self.number(Series::StockEntry).await?,
            delta,
            at: self.clock.now(),
        };
        let answered = self
            .store
            .adjust(Keyed {
                command,
                claim,
                render,
            })
            .await;
        self.shelf.forget(id);
        answered
    }

    async fn number(&self, series: Series) -> Result<i64, StoreError> {
        self.ids
            .one(series)
            .await
            .map_err(|e| StoreError::Unavailable(e.to_string()))
    }
}
