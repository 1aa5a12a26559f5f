//! Hourly sales in SQL: an effect and its notes are one transaction, and reports are sums over hours.
//! What an event means is read in `commerce::analytics::sale`. Built by the binary for `Sales`.

use async_trait::async_trait;
use commerce::analytics::sale::{Slot, tally};
use commerce::analytics::{Amounts, CONSUMER, Sale, Span, Store};
use commerce::answer::StoreError;
use commerce::ids::ProductId;
use sea_orm::{ConnectionTrait, QueryResult};

use super::writes::{Sums, Writes};
use super::{Database, Dialect, Error, Transaction, follow_up, notes};

/// In place of a product's id: all products together, each order counted once.
const ALL: i64 = 0;

const HOURLY: Sums<'static> = Sums {
    table: "sales_hourly",
    key: "product_id, hour_us",
    columns: &["quantity", "amount", "orders"],
};

pub struct SqlSales {
    db: Database,
}

impl SqlSales {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Store for SqlSales {
    async fn apply(&self, sales: &[Sale], now_us: i64) -> Result<usize, StoreError> {
        let dialect = self.db.dialect();
        let new = follow_up::<_, Error, _>(&self.db, "sql.analytics-apply", |tx, _| {
            Box::pin(async move { apply(tx, dialect, sales, now_us).await })
        })
        .await?;
        Ok(new)
    }

    async fn by_hour(&self, span: Span) -> Result<Vec<(i64, Amounts)>, StoreError> {
        let sql = "SELECT quantity, amount, orders, hour_us FROM sales_hourly
            WHERE product_id = ? AND hour_us >= ? AND hour_us < ? AND (quantity <> 0 OR amount <> 0 OR orders <> 0)
            ORDER BY hour_us";
        let values = vec![ALL.into(), span.from_us.into(), span.to_us.into()];
        let found = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, values))
            .await
            .map_err(Error::from)?;
        let read = |row: &QueryResult| Ok((row.try_get_by(3)?, amounts(row)?));
        let hours: Result<Vec<_>, Error> = found.iter().map(read).collect();
        Ok(hours?)
    }

    async fn by_product(
        &self,
        span: Span,
        limit: u32,
    ) -> Result<Vec<(ProductId, Amounts)>, StoreError> {
        // A sum of BIGINTs is a DECIMAL on MySQL.
        let integer = match self.db.dialect() {
            Dialect::MySql => "SIGNED",
            Dialect::Sqlite => "INTEGER",
        };
        let sql = format!(
            "SELECT CAST(SUM(quantity) AS {integer}) AS pieces, CAST(SUM(amount) AS {integer}) AS sum_amount,
                CAST(SUM(orders) AS {integer}) AS placed, product_id FROM sales_hourly
            WHERE hour_us >= ? AND hour_us < ? AND product_id <> ?
            GROUP BY product_id HAVING SUM(quantity) <> 0 OR SUM(amount) <> 0 OR SUM(orders) <> 0
            ORDER BY sum_amount DESC, product_id LIMIT ?"
        );
        let values = vec![
            span.from_us.into(),
            span.to_us.into(),
            ALL.into(),
            limit.into(),
        ];
        let found = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, values))
            .await
            .map_err(Error::from)?;
        let read = |row: &QueryResult| {
            let id = ProductId::try_from(row.try_get_by::<i64, _>(3)?)
                .map_err(|e| Error::Other(format!("sales_hourly.product_id {e}")))?;
            Ok((id, amounts(row)?))
        };
        let products: Result<Vec<_>, Error> = found.iter().map(read).collect();
        Ok(products?)
    }
}

/// The first three columns.
fn amounts(row: &QueryResult) -> Result<Amounts, Error> {
    Ok(Amounts {
        quantity: row.try_get_by(0)?,
        amount: row.try_get_by(1)?,
        orders: row.try_get_by(2)?,
    })
}

async fn apply(
    tx: &Transaction,
    dialect: Dialect,
    sales: &[Sale],
    now_us: i64,
) -> Result<usize, Error> {
    let identities: Vec<_> = sales.iter().map(|sale| sale.identity.clone()).collect();
    let fresh = notes::mark(tx, dialect, CONSUMER, &identities, now_us).await?;
    let new: Vec<&Sale> = sales
        .iter()
        .zip(&fresh)
        .filter(|(_, fresh)| **fresh)
        .map(|(sale, _)| sale)
        .collect();
    let sums = tally(new.iter().copied())
        .ok_or_else(|| Error::Other("the sales of a batch add up to more than 64 bits".into()))?;
    let sums: Vec<(Slot, Amounts)> = sums.into_iter().collect();
    let mut writes = Writes::new(dialect);
    writes.add_up(&HOURLY, &sums, |((product, hour_us), sum), row| {
        row.int(product.map_or(ALL, ProductId::get))
            .int(*hour_us)
            .int(sum.quantity)
            .int(sum.amount)
            .int(sum.orders);
    });
    writes.send(tx).await?;
    Ok(new.len())
}
