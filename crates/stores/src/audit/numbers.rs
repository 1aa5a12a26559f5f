//! I4: every product of an order that owes ranking has the number of its event, and every cancel too; no number is there twice.

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::{Check, Difference, Error, Settings};
use crate::sql::Database;
use crate::sql::ranking::snapshot;

/// Orders whose lines have fewer or more numbers than products.
const ODD: &str = "SELECT o.id AS a, COUNT(DISTINCT l.product_id) AS b, COUNT(l.ranking_seq) AS c, COUNT(l.cancel_ranking_seq) AS d
    FROM orders o JOIN order_lines l ON l.order_id = o.id
    WHERE (o.owes & 1) <> 0 OR (o.cancel_owes & 1) <> 0
    GROUP BY o.id HAVING (MAX(o.owes & 1) <> 0 AND COUNT(l.ranking_seq) <> COUNT(DISTINCT l.product_id))
        OR (MAX(o.cancel_owes & 1) <> 0 AND COUNT(l.cancel_ranking_seq) <> COUNT(DISTINCT l.product_id))";

/// Numbers that are on more than one line, and two orders of those lines.
const SHARED: &str = "SELECT n AS a, MIN(order_id) AS b, MAX(order_id) AS c, COUNT(*) AS d FROM (
        SELECT ranking_seq AS n, order_id FROM order_lines WHERE ranking_seq IS NOT NULL
        UNION ALL SELECT cancel_ranking_seq, order_id FROM order_lines WHERE cancel_ranking_seq IS NOT NULL
    ) given GROUP BY n HAVING COUNT(*) > 1";

pub async fn check(db: &Database, settings: &Settings) -> Result<Check, Error> {
    let tx = snapshot(db).await?;
    let mut check = Check::new("I4", "numbers of the ranking");
    let owing = "SELECT COUNT(*) FROM orders WHERE (owes & 1) <> 0 OR (cancel_owes & 1) <> 0";
    if let Some(row) = tx.query_one_raw(db.statement(owing, vec![])).await? {
        check.examined = row.try_get_by::<i64, _>(0)?.unsigned_abs();
    }
    for [order, products, sales, cancels] in rows(&tx, db, ODD).await? {
        let difference = Difference {
            subject: format!("order {order}"),
            expected: format!(
                "a number for each of its {products} products, and for each that was cancelled"
            ),
            found: format!("{sales} numbers of sales, {cancels} of cancels"),
        };
        check.differ(settings.listed_max, difference);
    }
    for [number, first, second, times] in rows(&tx, db, SHARED).await? {
        let difference = Difference {
            subject: format!("number {number} of the ranking"),
            expected: "given to one event".into(),
            found: format!("on {times} lines, of orders {first} and {second}"),
        };
        check.differ(settings.listed_max, difference);
    }
    tx.rollback().await?;
    Ok(check)
}

async fn rows(tx: &DatabaseTransaction, db: &Database, sql: &str) -> Result<Vec<[i64; 4]>, Error> {
    let found = tx.query_all_raw(db.statement(sql, vec![])).await?;
    let row = |row: &sea_orm::QueryResult| {
        Ok([
            row.try_get_by(0)?,
            row.try_get_by(1)?,
            row.try_get_by(2)?,
            row.try_get_by(3)?,
        ])
    };
    found.iter().map(row).collect()
}
