//! The orders table as ranking sees it: every sale and cancel of a span from one snapshot, and best sellers recounted.
//! It counts nothing on boards. Rebuilds, the audit and reads while a board is away call it.

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::ids::ProductId;
use commerce::ranking::days::Span;
use commerce::ranking::model::{Place, Standing};
use commerce::ranking::ports::{Counted, SalesHistory, Snapshot};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, IsolationLevel, QueryResult,
    TransactionTrait, Value,
};

use super::{Database, Dialect, Error};

#[derive(Clone)]
pub struct SqlSalesHistory {
    db: Database,
}

impl SqlSalesHistory {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }
}

/// The span's sales that were not cancelled, by product.
const SUMS: &str = "SELECT l.product_id AS product_id, CAST(SUM(l.quantity) AS SIGNED INTEGER) AS score, CAST(SUM(l.total_price) AS SIGNED INTEGER) AS amount
    FROM orders o JOIN order_lines l ON l.order_id = o.id
    WHERE o.created_us >= ? AND o.created_us < ? AND o.status = 'COMPLETED' GROUP BY l.product_id";

/// A page of orders, each with a row per product. An order cancelled has its sale and its cancel.
const PAGE: &str = "SELECT o.created_us, o.id, l.product_id, CAST(SUM(l.quantity) AS SIGNED INTEGER), CAST(SUM(l.total_price) AS SIGNED INTEGER),
        MAX(l.ranking_seq), MAX(l.cancel_ranking_seq), CASE WHEN o.status = 'CANCELLED' THEN 1 ELSE 0 END
    FROM (SELECT id, created_us, status FROM orders WHERE created_us < ? AND created_us >= ? AND (created_us > ? OR id > ?)
          ORDER BY created_us, id LIMIT ?) o
    JOIN order_lines l ON l.order_id = o.id
    GROUP BY o.created_us, o.id, o.status, l.product_id ORDER BY o.created_us, o.id, l.product_id";

#[async_trait]
impl SalesHistory for SqlSalesHistory {
    async fn snapshot(&self, span: Span) -> Result<Box<dyn Snapshot>, StoreError> {
        let tx = snapshot(&self.db).await?;
        Ok(Box::new(SqlSnapshot {
            dialect: self.db.dialect(),
            tx,
            end_us: span.end_us,
            after: (span.start_us, i64::MIN),
        }))
    }

    async fn top(&self, span: Span, n: usize) -> Result<Vec<Standing>, StoreError> {
        let sql = format!(
            "SELECT t.product_id, t.score, t.amount FROM ({SUMS}) t ORDER BY t.score DESC, t.product_id LIMIT ?"
        );
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let values = vec![span.start_us.into(), span.end_us.into(), n.into()];
        let select = self.db.statement(sql, values);
        let rows = self.db.reader().query_all_raw(select).await;
        let rows = rows.map_err(Error::from)?;
        let standings: Result<_, Error> = rows.iter().map(standing).collect();
        Ok(standings?)
    }

    async fn rank(&self, span: Span, product: ProductId) -> Result<Place, StoreError> {
        let values = vec![span.start_us.into(), span.end_us.into()];
        Ok(place_of(&self.db, SUMS, values, product).await?)
    }
}

/// A transaction whose reads all see one moment: that of its first read.
///
/// # Errors
/// Those of the database.
pub(crate) async fn snapshot(db: &Database) -> Result<DatabaseTransaction, Error> {
    // SQLite knows no isolation levels: there every read transaction is such a snapshot.
    let (level, access) = match db.dialect() {
        Dialect::MySql => (
            Some(IsolationLevel::RepeatableRead),
            Some(AccessMode::ReadOnly),
        ),
        Dialect::Sqlite => (None, None),
    };
    Ok(db.reader().begin_with_config(level, access).await?)
}

struct SqlSnapshot {
    dialect: Dialect,
    tx: DatabaseTransaction,
    end_us: i64,
    /// Instant and id of the last order read.
    after: (i64, i64),
}

#[async_trait]
impl Snapshot for SqlSnapshot {
    async fn page(&mut self, orders_max: u32) -> Result<Vec<Counted>, StoreError> {
        let (created, id) = self.after;
        let values: Vec<Value> = vec![
            self.end_us.into(),
            created.into(),
            created.into(),
            id.into(),
            i64::from(orders_max.max(1)).into(),
        ];
        let select = self.dialect.statement(PAGE, values);
        let rows = self.tx.query_all_raw(select).await.map_err(Error::from)?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            page.extend(counted(row)?);
        }
        if let Some(row) = rows.last() {
            let get = |column| row.try_get_by::<i64, _>(column).map_err(Error::from);
            self.after = (get(0)?, get(1)?);
        }
        Ok(page)
    }
}

/// A row's sale, and its cancel if there was one.
fn counted(row: &QueryResult) -> Result<impl Iterator<Item = Counted> + use<>, Error> {
    let product = ProductId::try_from(row.try_get_by::<i64, _>(2)?).map_err(Error::Other)?;
    let (quantity, amount): (i64, i64) = (row.try_get_by(3)?, row.try_get_by(4)?);
    let sale = Counted {
        seq: row.try_get_by(5)?,
        product,
        quantity,
        amount,
    };
    let cancelled = row.try_get_by::<i32, _>(7)? == 1;
    let cancel = cancelled.then_some(Counted {
        seq: row.try_get_by(6)?,
        product,
        quantity: -quantity,
        amount: -amount,
    });
    Ok(std::iter::once(sale).chain(cancel))
}

/// A row of product, score, amount.
pub(crate) fn standing(row: &QueryResult) -> Result<Standing, Error> {
    Ok(Standing {
        product: ProductId::try_from(row.try_get_by::<i64, _>(0)?).map_err(Error::Other)?,
        score: row.try_get_by(1)?,
        amount: row.try_get_by(2)?,
    })
}

/// A product's place among `sums`, a select of product_id and score with its values.
pub(crate) async fn place_of(
    db: &Database,
    sums: &str,
    values: Vec<Value>,
    product: ProductId,
) -> Result<Place, Error> {
    let mut bound = values.clone();
    bound.push(product.get().into());
    let sql = format!("SELECT t.score FROM ({sums}) t WHERE t.product_id = ? AND t.score > 0");
    let Some(row) = db.reader().query_one_raw(db.statement(sql, bound)).await? else {
        return Ok(Place::NONE);
    };
    let score: i64 = row.try_get_by(0)?;
    let mut bound = values;
    bound.extend([score.into(), score.into(), product.get().into()]);
    let sql = format!(
        "SELECT COUNT(*) FROM ({sums}) t WHERE t.score > ? OR (t.score = ? AND t.product_id < ?)"
    );
    let before = db.reader().query_one_raw(db.statement(sql, bound)).await?;
    let before: i64 = before.map_or(Ok(0), |row| row.try_get_by(0))?;
    Ok(Place {
        rank: Some(before.unsigned_abs() + 1),
        score,
    })
}
