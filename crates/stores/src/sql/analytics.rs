//! Hourly sales in SQL: an effect and its notes are one transaction, and reports are sums over hours.
//! What an event means is read in `commerce::analytics::sale`. Built by the binary for `Sales`.

use async_trait::async_trait;
use commerce::analytics::sale::{Slot, tally};
use commerce::analytics::{Amounts, CONSUMER, Sale, Span, Store};
use commerce::answer::StoreError;
use commerce::ids::ProductId;
use sea_orm::{ConnectionTrait, QueryResult};

use super::dialect::{chunks, rows};
use super::{Database, Dialect, Error, Transaction, notes, within};

/// Rows a statement.
const CHUNK_MAX: usize = 256;

/// In place of a product's id: all products together, each order counted once.
const ALL: i64 = 0;

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
        let new = within::<_, Error, _>(&self.db, "sql.analytics-apply", |tx, _| {
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
    // In order of row, so that two batches meet without a deadlock.
    let sums: Vec<(Slot, Amounts)> = sums.into_iter().collect();
    let mut rest = sums.as_slice();
    for size in chunks(sums.len(), CHUNK_MAX) {
        let (piece, tail) = rest.split_at(size);
        rest = tail;
        add(tx, dialect, piece).await?;
    }
    Ok(new.len())
}

async fn add(tx: &Transaction, dialect: Dialect, sums: &[(Slot, Amounts)]) -> Result<(), Error> {
    let added = |column: &str| {
        let incoming = dialect.incoming(column);
        format!("{column} = sales_hourly.{column} + {incoming}")
    };
    let sql = format!(
        "INSERT INTO sales_hourly (product_id, hour_us, quantity, amount, orders) VALUES {} {} {}, {}, {}",
        rows(sums.len(), 5),
        dialect.on_conflict("product_id, hour_us"),
        added("quantity"),
        added("amount"),
        added("orders"),
    );
    let values = sums
        .iter()
        .flat_map(|((product, hour_us), sum)| {
            [
                product.map_or(ALL, ProductId::get).into(),
                (*hour_us).into(),
                sum.quantity.into(),
                sum.amount.into(),
                sum.orders.into(),
            ]
        })
        .collect();
    tx.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}
