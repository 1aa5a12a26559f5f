//! Numbers reserved in blocks, each block in its own committed transaction, so that no two processes share one
//! and none is given out twice after a crash. Holes are allowed, repeats are not.

use async_trait::async_trait;
use commerce::ids::{Range, Series, Source};
use sea_orm::ConnectionTrait;

use super::{Database, Error, within};

#[async_trait]
impl Source for Database {
    async fn reserve(&self, series: Series, count: u32) -> Result<Range, String> {
        reserve(self, series, i64::from(count.max(1)))
            .await
            .map_err(|e| e.to_string())
    }
}

async fn reserve(db: &Database, series: Series, count: i64) -> Result<Range, Error> {
    within(db, "sql.ids-reserve", |tx, _| {
        Box::pin(async move {
            let sql = format!(
                "SELECT next_value FROM id_blocks WHERE name = ?{}",
                db.dialect().for_update()
            );
            let row = tx
                .query_one_raw(db.statement(sql, vec![series.name().into()]))
                .await?;
            let first = match row {
                Some(row) => {
                    let first: i64 = row.try_get_by(0)?;
                    let update = db.statement(
                        "UPDATE id_blocks SET next_value = ? WHERE name = ?",
                        vec![(first + count).into(), series.name().into()],
                    );
                    tx.execute_raw(update).await?;
                    first
                }
                None => {
                    let insert = db.statement(
                        "INSERT INTO id_blocks (name, next_value) VALUES (?, ?)",
                        vec![series.name().into(), (1 + count).into()],
                    );
                    // Two processes may start at once: the loser's duplicate is a conflict, tried again from the read.
                    tx.execute_raw(insert)
                        .await
                        .map_err(|e| match Error::from(e) {
                            Error::Duplicate(key) => Error::Conflict(key),
                            other => other,
                        })?;
                    1
                }
            };
            Ok(Range {
                first,
                end: first + count,
            })
        })
    })
    .await
}

/// Raises the series so that every number up to and including `floor` counts as given out.
///
/// # Errors
/// Those of the transaction.
pub async fn raise_floor(db: &Database, series: Series, floor: i64) -> Result<(), Error> {
    within(db, "sql.ids-raise", |tx, _| Box::pin(async move {
        let sql = format!(
            "INSERT INTO id_blocks (name, next_value) VALUES (?, ?) {} next_value = CASE WHEN id_blocks.next_value < {incoming} THEN {incoming} ELSE id_blocks.next_value END",
            db.dialect().on_conflict("name"),
            incoming = db.dialect().incoming("next_value"),
        );
        tx.execute_raw(db.statement(sql, vec![series.name().into(), (floor + 1).into()]))
            .await?;
        Ok(())
    }))
    .await
}
