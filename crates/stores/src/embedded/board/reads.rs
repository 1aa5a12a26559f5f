//! Reading the boards in the database: sums over days, a product's place, and a board held against its shadow.
//! Only the board beside this file uses it.

use commerce::ids::ProductId;
use commerce::ranking::model::{Place, Standing};
use commerce::ranking::ports::{Comparison, Difference, Read};
use jiff::civil::Date;
use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::text;
use crate::sql::dialect::{list, padded};
use crate::sql::ranking::{place_of, standing};
use crate::sql::{Database, Dialect, Error, Transaction};

pub fn day(row: &QueryResult, column: usize) -> Result<Date, Error> {
    let text: String = row.try_get_by(column)?;
    text.parse()
        .map_err(|e| Error::Other(format!("ranking_boards.day {text}: {e}")))
}

pub fn product(row: &QueryResult, column: usize) -> Result<ProductId, Error> {
    ProductId::try_from(row.try_get_by::<i64, _>(column)?).map_err(Error::Other)
}

pub async fn known(db: &Database, days: &[Date]) -> Result<Vec<Date>, Error> {
    if days.is_empty() {
        return Ok(Vec::new());
    }
    let asked = padded(days);
    let sql = format!(
        "SELECT day FROM ranking_boards WHERE generation > 0 AND day IN ({}) ORDER BY day",
        list(asked.len())
    );
    let values = asked.into_iter().map(text).collect();
    let rows = db.reader().query_all_raw(db.statement(sql, values)).await?;
    rows.iter().map(|row| day(row, 0)).collect()
}

async fn missing(db: &Database, days: &[Date]) -> Result<Vec<Date>, Error> {
    let known = known(db, days).await?;
    let missing = days.iter().filter(|day| !known.contains(day));
    Ok(missing.copied().collect())
}

/// The days' live counts by product.
fn sums(days: &[Date]) -> (String, Vec<Value>) {
    let asked = padded(days);
    let sql = format!(
        "SELECT s.product_id AS product_id, CAST(SUM(s.quantity) AS SIGNED INTEGER) AS score, CAST(SUM(s.amount) AS SIGNED INTEGER) AS amount
         FROM ranking_boards b JOIN ranking_scores s ON s.day = b.day AND s.sheet = b.generation
         WHERE b.generation > 0 AND b.day IN ({}) GROUP BY s.product_id",
        list(asked.len())
    );
    (sql, asked.into_iter().map(text).collect())
}

pub async fn top(db: &Database, days: &[Date], n: usize) -> Result<Read<Vec<Standing>>, Error> {
    let missing = missing(db, days).await?;
    if !missing.is_empty() {
        return Ok(Read::Missing(missing));
    }
    let (sums, mut values) = sums(days);
    let sql = format!(
        "SELECT t.product_id, t.score, t.amount FROM ({sums}) t WHERE t.score > 0 ORDER BY t.score DESC, t.product_id LIMIT ?"
    );
    values.push(i64::try_from(n).unwrap_or(i64::MAX).into());
    let rows = db.reader().query_all_raw(db.statement(sql, values)).await?;
    rows.iter()
        .map(standing)
        .collect::<Result<_, _>>()
        .map(Read::Found)
}

pub async fn rank(db: &Database, days: &[Date], product: ProductId) -> Result<Read<Place>, Error> {
    let missing = missing(db, days).await?;
    if !missing.is_empty() {
        return Ok(Read::Missing(missing));
    }
    let (sums, values) = sums(days);
    place_of(db, &sums, values, product).await.map(Read::Found)
}

pub async fn comparison(
    tx: &Transaction,
    dialect: Dialect,
    day: Date,
    generation: i64,
    max: usize,
) -> Result<Comparison, Error> {
    let both = "SELECT product_id,
            SUM(CASE WHEN sheet = ? THEN quantity ELSE 0 END) AS expected_score,
            SUM(CASE WHEN sheet = ? THEN quantity ELSE 0 END) AS found_score,
            SUM(CASE WHEN sheet = ? THEN amount ELSE 0 END) AS expected_amount,
            SUM(CASE WHEN sheet = ? THEN amount ELSE 0 END) AS found_amount
        FROM ranking_scores WHERE day = ? AND sheet IN (?, ?) GROUP BY product_id";
    let (live, twin) = (generation, generation + 1);
    let values = || -> Vec<Value> {
        vec![
            twin.into(),
            live.into(),
            twin.into(),
            live.into(),
            text(day),
            live.into(),
            twin.into(),
        ]
    };
    let differ = "t.expected_score <> t.found_score OR t.expected_amount <> t.found_amount";
    let sql = format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN {differ} THEN 1 ELSE 0 END), 0) AS SIGNED INTEGER) FROM ({both}) t"
    );
    let totals = tx.query_one_raw(dialect.statement(sql, values())).await?;
    let totals = totals.ok_or_else(|| Error::guard("a board's comparison"))?;
    let sql = format!(
        "SELECT t.product_id, CAST(t.expected_score AS SIGNED INTEGER), CAST(t.found_score AS SIGNED INTEGER), CAST(t.expected_amount AS SIGNED INTEGER), CAST(t.found_amount AS SIGNED INTEGER)
         FROM ({both}) t WHERE {differ} ORDER BY t.product_id LIMIT ?"
    );
    let mut bound = values();
    bound.push(i64::try_from(max).unwrap_or(i64::MAX).into());
    let rows = tx.query_all_raw(dialect.statement(sql, bound)).await?;
    let difference = |row: &QueryResult| {
        Ok(Difference {
            product: row.try_get_by::<i64, _>(0)?.to_string(),
            expected_score: row.try_get_by(1)?,
            found_score: row.try_get_by(2)?,
            expected_amount: row.try_get_by(3)?,
            found_amount: row.try_get_by(4)?,
        })
    };
    Ok(Comparison {
        differences: rows.iter().map(difference).collect::<Result<_, Error>>()?,
        different: totals.try_get_by::<i64, _>(1)?.unsigned_abs(),
        products: totals.try_get_by::<i64, _>(0)?.unsigned_abs(),
        foreign: 0,
    })
}
