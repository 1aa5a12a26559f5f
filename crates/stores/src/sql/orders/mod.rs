//! Orders in SQL. A batch is loaded under lock, decided by the rules it brings, and committed as one; so is a cancel.
//! No rule of the shop is here. `commerce::order::Orders` calls it.
//!
//! Locks are taken coupons first, then wallets, then products, each in order of id; a cancel locks its order before them.

mod cancel;
mod load;
mod place;
mod read;
mod write;

use async_trait::async_trait;
use commerce::answer::{Answered, Keyed, StoreError};
use commerce::ids::{OrderId, UserId};
use commerce::order::{
    Batch, CancelOrder, Cancellation, Order, Outlet, Placed, Store, Turn, cancel::Refusal,
};
use commerce::page::PageRequest;
use messaging::outbox::Packing;
use messaging::outbox::relay::Wake;
use sea_orm::QueryResult;

use super::{Database, Error};

pub struct SqlOrders {
    db: Database,
    wake: Wake,
    packing: Packing,
}

impl SqlOrders {
    /// `wake`: handed the outbox rows of each commit, which `packing` makes.
    #[must_use]
    pub fn new(db: Database, wake: Wake, packing: Packing) -> Self {
        Self { db, wake, packing }
    }
}

#[async_trait]
impl Store for SqlOrders {
    async fn place(&self, batch: Batch<'_>) -> Result<Vec<Placed>, StoreError> {
        let (placed, rows) = place::place(&self.db, self.packing, batch).await?;
        self.wake.committed(rows);
        Ok(placed)
    }

    async fn cancel(
        &self,
        cancel: Keyed<'_, CancelOrder, Cancellation, Refusal>,
        outlet: &Outlet,
    ) -> Result<(Answered, Option<Turn>), StoreError> {
        let (answered, done) = cancel::cancel(&self.db, self.packing, cancel, outlet).await?;
        let turn = done.map(|(turn, rows)| {
            self.wake.committed(rows);
            turn
        });
        Ok((answered, turn))
    }

    async fn find(&self, order: OrderId) -> Result<Option<Order>, StoreError> {
        let found = read::find(self.db.reader(), self.db.dialect(), order, "").await?;
        Ok(found)
    }

    async fn page(&self, user: UserId, page: PageRequest) -> Result<Vec<Order>, StoreError> {
        Ok(read::page(&self.db, user, page).await?)
    }
}

/// A column as a checked value: an id, an amount, a name.
fn column<T>(row: &QueryResult, index: usize) -> Result<T, Error>
where
    T: TryFrom<i64, Error = String>,
{
    T::try_from(row.try_get_by::<i64, _>(index)?).map_err(Error::Other)
}
