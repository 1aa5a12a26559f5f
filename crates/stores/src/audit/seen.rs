//! The orders as they were when the audit began: what was committed by then must have had its effect by the time it is looked for;
//! what came later may be on its way.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::Error;
use crate::sql::Database;
use crate::sql::ranking::snapshot;

/// Holds a read transaction open until it is dropped.
pub struct Seen(DatabaseTransaction);

impl Seen {
    /// The orders as they are now.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn now(db: &Database) -> Result<Self, Error> {
        let tx = snapshot(db).await?;
        // The first read is the moment.
        let first = db.statement("SELECT id FROM orders LIMIT 1", vec![]);
        tx.query_one_raw(first).await?;
        Ok(Self(tx))
    }

    /// Those of `after < id <= last` that were there, and whether they were cancelled.
    pub(super) async fn between(
        &self,
        db: &Database,
        after: i64,
        last: i64,
    ) -> Result<HashMap<i64, bool>, Error> {
        let sql = "SELECT id, CASE WHEN cancelled_us IS NULL THEN 0 ELSE 1 END FROM orders WHERE id > ? AND id <= ?";
        let select = db.statement(sql, vec![after.into(), last.into()]);
        let rows = self.0.query_all_raw(select).await?;
        let order = |row: &sea_orm::QueryResult| {
            Ok((
                row.try_get_by::<i64, _>(0)?,
                row.try_get_by::<i32, _>(1)? == 1,
            ))
        };
        rows.iter().map(order).collect()
    }
}
