//! What waits in the outbox: for gauges, for the limit, for the audit and whoever lists it, and for those who wait until what is
//! there now is gone.

use std::collections::HashSet;

use messaging::outbox::{Depth, Event};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use uuid::Uuid;

use super::{Database, Error, Outbox, packed, uuid};

/// What waits for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub topic: String,
    pub events: u64,
    /// When the oldest of them was made, in microseconds since the epoch.
    pub oldest_us: i64,
}

/// How many events the rows of a statement hold.
const EVENTS: &str = "CAST(COALESCE(SUM(events), 0) AS SIGNED INTEGER)";

impl Outbox {
    /// The newest row that it holds now.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn newest(&self) -> Result<Option<Uuid>, Error> {
        let row = self.summed("SELECT MAX(id) FROM outbox", vec![]).await?;
        let id: Option<String> = row.try_get_by(0)?;
        id.map(|id| uuid(&id)).transpose()
    }

    /// How many events it holds up to that row; ids ascend with time.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn events_up_to(&self, newest: Uuid) -> Result<u64, Error> {
        let sql = format!("SELECT {EVENTS} FROM outbox WHERE id <= ?");
        let row = self.summed(sql, vec![newest.to_string().into()]).await?;
        let events: i64 = row.try_get_by(0)?;
        Ok(events.unsigned_abs())
    }

    /// Whether it holds so many events; no more rows are looked at.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn holds(&self, events: u64) -> Result<bool, Error> {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        let sql = format!("SELECT {EVENTS} FROM (SELECT events FROM outbox LIMIT ?) t");
        let row = self.summed(sql, vec![events.into()]).await?;
        let counted: i64 = row.try_get_by(0)?;
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
        let row = self.summed("SELECT MAX(shard) FROM outbox", vec![]);
        let last: Option<i32> = row.await?.try_get_by(0)?;
        let mut events = Vec::new();
        // Also those of shards that the settings no longer have.
        for shard in 0..shards_up_to(last) {
            let page = self.read(shard, None, limit, &HashSet::new()).await?;
            events.extend(page.rows.into_iter().flat_map(|row| row.events));
        }
        events.sort_by_key(|event| event.id);
        events.truncate(limit as usize);
        Ok(events)
    }

    pub(super) async fn count(&self) -> Result<Depth, Error> {
        let sql = format!(
            "SELECT {EVENTS}, {now} - MIN(created_us), MAX(shard) FROM outbox",
            now = self.db.dialect().now_us()
        );
        let row = self.summed(sql, vec![]).await?;
        let events: i64 = row.try_get_by(0)?;
        let oldest_us: Option<i64> = row.try_get_by(1)?;
        let last: Option<i32> = row.try_get_by(2)?;
        Ok(Depth {
            events: events.unsigned_abs(),
            oldest_us: oldest_us.unwrap_or(0).max(0),
            shards: shards_up_to(last),
        })
    }

    /// The one row of a statement that sums all it finds.
    async fn summed(
        &self,
        sql: impl Into<String>,
        values: Vec<Value>,
    ) -> Result<QueryResult, Error> {
        let select = self.db.statement(sql, values);
        let row = self.db.reader().query_one_raw(select).await?;
        row.ok_or_else(|| Error::Other("a sum over the outbox found no row".into()))
    }
}

/// The number of shards up to the last that has rows, if any has.
fn shards_up_to(last: Option<i32>) -> i32 {
    last.map_or(0, |last| last.saturating_add(1))
}

/// Numbers of the events that wait for the topic, as the transaction sees them.
///
/// # Errors
/// Those of the statement.
pub(crate) async fn numbers_waiting(
    tx: &impl ConnectionTrait,
    db: &Database,
    topic: &str,
) -> Result<HashSet<i64>, Error> {
    let sql = "SELECT seq, type, CASE WHEN events > 1 THEN payload END FROM outbox WHERE aggregatetype = ?";
    let select = db.statement(sql, vec![topic.into()]);
    let mut numbers = HashSet::new();
    for row in tx.query_all_raw(select).await? {
        numbers.extend(row.try_get_by::<Option<i64>, _>(0)?);
        if let Some(payload) = row.try_get_by::<Option<String>, _>(2)? {
            let kind: String = row.try_get_by(1)?;
            numbers.extend(packed::numbers(&kind, payload)?);
        }
    }
    Ok(numbers)
}
