//! How much waits in the outbox: for gauges, for the limit, and for those who wait until what is there now is gone.

use messaging::outbox::Depth;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{Error, Outbox, uuid};

impl Outbox {
    /// The newest row that it holds now.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn newest(&self) -> Result<Option<Uuid>, Error> {
        let select = self.db.statement("SELECT MAX(id) FROM outbox", vec![]);
        let row = self.db.reader().query_one_raw(select).await?;
        let id: Option<String> = row.map_or(Ok(None), |row| row.try_get_by(0))?;
        id.map(|id| uuid(&id)).transpose()
    }

    /// How many rows it holds up to that one; ids ascend with time.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn rows_up_to(&self, newest: Uuid) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) FROM outbox WHERE id <= ?";
        let select = self.db.statement(sql, vec![newest.to_string().into()]);
        let row = self.db.reader().query_one_raw(select).await?;
        let rows: i64 = row.map_or(Ok(0), |row| row.try_get_by(0))?;
        Ok(rows.unsigned_abs())
    }

    /// Whether it holds so many rows; no more are counted.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn holds(&self, rows: u64) -> Result<bool, Error> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let sql = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM outbox LIMIT ?) t";
        let select = self.db.statement(sql, vec![rows.into()]);
        let row = self.db.reader().query_one_raw(select).await?;
        let counted: i64 = row.map_or(Ok(0), |row| row.try_get_by(0))?;
        Ok(counted >= rows)
    }

    pub(super) async fn count(&self) -> Result<Depth, Error> {
        let sql = format!(
            "SELECT COUNT(*), {now} - MIN(created_us) FROM outbox",
            now = self.db.dialect().now_us()
        );
        let row = self
            .db
            .reader()
            .query_one_raw(self.db.statement(sql, vec![]))
            .await?;
        let Some(row) = row else {
            return Ok(Depth::default());
        };
        let rows: i64 = row.try_get_by(0)?;
        let oldest_us: Option<i64> = row.try_get_by(1)?;
        Ok(Depth {
            rows: u64::try_from(rows).unwrap_or(0),
            oldest_us: oldest_us.unwrap_or(0).max(0),
        })
    }
}
