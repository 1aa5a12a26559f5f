//! How much waits in the outbox: for gauges, for the limit, and for those who wait until what is there now is gone.

use std::collections::HashSet;

use messaging::outbox::{Depth, Event};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{Error, Outbox, uuid};

/// What waits for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub topic: String,
    pub events: u64,
    /// When the oldest of them was made, in microseconds since the epoch.
    pub oldest_us: i64,
}

/// Of all the rows of a statement.
const EVENTS: &str = "CAST(COALESCE(SUM(events), 0) AS SIGNED INTEGER)";

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

    /// How many events it holds up to that row; ids ascend with time.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn events_up_to(&self, newest: Uuid) -> Result<u64, Error> {
        let sql = format!("SELECT {EVENTS} FROM outbox WHERE id <= ?");
        let select = self.db.statement(sql, vec![newest.to_string().into()]);
        let row = self.db.reader().query_one_raw(select).await?;
        let events: i64 = row.map_or(Ok(0), |row| row.try_get_by(0))?;
        Ok(events.unsigned_abs())
    }

    /// Whether it holds so many events; no more rows are looked at.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn holds(&self, events: u64) -> Result<bool, Error> {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        let sql = format!("SELECT {EVENTS} FROM (SELECT events FROM outbox LIMIT ?) t");
        let select = self.db.statement(sql, vec![events.into()]);
        let row = self.db.reader().query_one_raw(select).await?;
        let counted: i64 = row.map_or(Ok(0), |row| row.try_get_by(0))?;
        Ok(counted >= events)
    }

    /// What waits, by topic, in order of topic.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn by_topic(&self) -> Result<Vec<Waiting>, Error> {
        let sql = format!(
            "SELECT aggregatetype, {EVENTS}, MIN(created_us) FROM outbox GROUP BY aggregatetype ORDER BY aggregatetype"
        );
        let select = self.db.statement(sql, vec![]);
        let mut all = Vec::new();
        for row in self.db.reader().query_all_raw(select).await? {
            let events: i64 = row.try_get_by(1)?;
            all.push(Waiting {
                topic: row.try_get_by(0)?,
                events: events.unsigned_abs(),
                oldest_us: row.try_get_by(2)?,
            });
        }
        Ok(all)
    }

    /// The oldest events of all shards, in order of id, at most so many.
    ///
    /// # Errors
    /// Those of the statements.
    pub async fn oldest(&self, limit: u32) -> Result<Vec<Event>, Error> {
        let select = self.db.statement("SELECT MAX(shard) FROM outbox", vec![]);
        let row = self.db.reader().query_one_raw(select).await?;
        let last: Option<i32> = row.map_or(Ok(None), |row| row.try_get_by(0))?;
        let mut events = Vec::new();
        // Also those of shards that the settings no longer have.
        for shard in 0..last.map_or(0, |last| last.saturating_add(1)) {
            let page = self.read(shard, None, limit, &HashSet::new()).await?;
            events.extend(page.rows.into_iter().flat_map(|row| row.events));
        }
        events.sort_by_key(|event| event.id);
        events.truncate(limit as usize);
        Ok(events)
    }

    pub(super) async fn count(&self) -> Result<Depth, Error> {
        let sql = format!(
            "SELECT {EVENTS}, {now} - MIN(created_us) FROM outbox",
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
        let events: i64 = row.try_get_by(0)?;
        let oldest_us: Option<i64> = row.try_get_by(1)?;
        Ok(Depth {
            events: events.unsigned_abs(),
            oldest_us: oldest_us.unwrap_or(0).max(0),
        })
    }
}
