//! I4: every product of an order that owes ranking has the number of its event, and every cancel too; no number is there twice.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};

use super::{Check, Difference, Error, Settings};
use crate::sql::Database;
use crate::sql::dialect::list;
use crate::sql::notes::BLOCK;
use crate::sql::ranking::snapshot;

/// Orders whose lines have fewer or more numbers than products.
const ODD: &str = "SELECT o.id AS a, COUNT(DISTINCT l.product_id) AS b, COUNT(l.ranking_seq) AS c, COUNT(l.cancel_ranking_seq) AS d
    FROM orders o JOIN order_lines l ON l.order_id = o.id
    WHERE (o.owes & 1) <> 0 OR (o.cancel_owes & 1) <> 0
    GROUP BY o.id HAVING (MAX(o.owes & 1) <> 0 AND COUNT(l.ranking_seq) <> COUNT(DISTINCT l.product_id))
        OR (MAX(o.cancel_owes & 1) <> 0 AND COUNT(l.cancel_ranking_seq) <> COUNT(DISTINCT l.product_id))";

/// Two orders whose lines have one of these numbers, and how many lines have it.
fn shared(numbers: usize) -> String {
    format!(
        "SELECT n AS a, MIN(order_id) AS b, MAX(order_id) AS c, COUNT(*) AS d FROM (
            SELECT ranking_seq AS n, order_id FROM order_lines WHERE ranking_seq IS NOT NULL
            UNION ALL SELECT cancel_ranking_seq, order_id FROM order_lines WHERE cancel_ranking_seq IS NOT NULL
        ) given WHERE n IN ({}) GROUP BY n",
        list(numbers)
    )
}

pub async fn check(db: &Database, settings: &Settings) -> Result<Check, Error> {
    let tx = snapshot(db).await?;
    let mut check = Check::new("I4", "numbers of the ranking");
    let owing = "SELECT COUNT(*) FROM orders WHERE (owes & 1) <> 0 OR (cancel_owes & 1) <> 0";
    if let Some(row) = tx.query_one_raw(db.statement(owing, vec![])).await? {
        check.examined = row.try_get_by::<i64, _>(0)?.unsigned_abs();
    }
    for [order, products, sales, cancels] in rows(&tx, db, ODD, vec![]).await? {
        let difference = Difference {
            subject: format!("order {order}"),
            expected: format!(
                "a number for each of its {products} products, and for each that was cancelled"
            ),
            found: format!("{sales} numbers of sales, {cancels} of cancels"),
        };
        check.differ(settings.listed_max, difference);
    }
    let twice = given_twice(&tx, db, settings).await?;
    let named: Vec<Value> = twice.named.iter().map(|n| Value::from(*n)).collect();
    check.differences += twice.count - named.len() as u64;
    let shared = match named.is_empty() {
        true => Vec::new(),
        false => rows(&tx, db, &shared(named.len()), named).await?,
    };
    for [number, first, second, times] in shared {
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

/// Numbers that are on lines more than once.
#[derive(Default)]
struct Twice {
    count: u64,
    /// The first of them, as many as are listed.
    named: Vec<i64>,
}

/// A page of orders at a time, with a bit a number: grouped by the database, ten million numbers are a temporary table on its disk.
async fn given_twice(
    tx: &DatabaseTransaction,
    db: &Database,
    settings: &Settings,
) -> Result<Twice, Error> {
    let (mut once, mut again) = (Numbers::default(), Numbers::default());
    let mut twice = Twice::default();
    let mut after = 0_i64;
    loop {
        let next = "SELECT id FROM orders WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?";
        let values = vec![after.into(), i64::from(settings.page).into()];
        let next = tx.query_one_raw(db.statement(next, values)).await?;
        let last = next.map(|row| row.try_get_by::<i64, _>(0)).transpose()?;
        // Lines without an order are looked at too.
        let lines = "SELECT ranking_seq, cancel_ranking_seq FROM order_lines WHERE order_id > ? AND order_id <= ?";
        let values = vec![after.into(), last.unwrap_or(i64::MAX).into()];
        for line in tx.query_all_raw(db.statement(lines, values)).await? {
            let numbers: [Option<i64>; 2] = [line.try_get_by(0)?, line.try_get_by(1)?];
            for number in numbers.into_iter().flatten() {
                if !once.insert(number) && again.insert(number) {
                    twice.count += 1;
                    if twice.named.len() < settings.listed_max {
                        twice.named.push(number);
                    }
                }
            }
        }
        match last {
            Some(last) => after = last,
            None => return Ok(twice),
        }
    }
}

async fn rows(
    tx: &DatabaseTransaction,
    db: &Database,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<[i64; 4]>, Error> {
    let found = tx.query_all_raw(db.statement(sql, values)).await?;
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

/// Numbers of events that have been come across, a bit each.
#[derive(Default)]
pub(super) struct Numbers {
    blocks: BTreeMap<i64, Vec<u8>>,
}

impl Numbers {
    /// False when it was there already.
    pub(super) fn insert(&mut self, seq: i64) -> bool {
        let bytes = usize::try_from(BLOCK / 8).unwrap_or_default();
        let bits = self.blocks.entry(seq.div_euclid(BLOCK));
        let bits = bits.or_insert_with(|| vec![0; bytes]);
        let index = usize::try_from(seq.rem_euclid(BLOCK)).unwrap_or_default();
        let mask = 1 << (index % 8);
        let was = bits[index / 8] & mask != 0;
        bits[index / 8] |= mask;
        !was
    }
}
