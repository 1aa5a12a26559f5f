//! The queue's two tables: reading terms and entries, writing entries.
//! `phase < 3` stands in every search for unsettled entries: it is what makes SQLite use their index.

use std::collections::HashMap;

use commerce::coupon::State;
use commerce::coupon::queue::{Entry, Settlement, Terms};
use commerce::ids::{CouponId, UserId};
use sea_orm::{ConnectionTrait, QueryResult, Value};

use crate::sql::dialect::{list, padded};
use crate::sql::writes::{Row, Writes};
use crate::sql::{Dialect, Error};

pub const WAITING: i64 = 0;
pub const LEASED: i64 = 1;
pub const PUBLISHED: i64 = 2;
pub const SETTLED: i64 = 3;
/// The state's word while recovery is at work.
pub const RECOVERING: &str = "RECOVERING";

/// Values of an IN list.
pub const CHUNK_MAX: usize = 512;
pub const D: Dialect = Dialect::Sqlite;

/// A campaign's row.
#[derive(Clone, Debug)]
pub struct Meta {
    pub epoch: i64,
    pub base: i64,
    pub slots: i64,
    pub last: i64,
    pub claim_from_us: i64,
    pub claim_to_us: i64,
    /// `None`: recovery is at work.
    pub state: Option<State>,
    pub version: i64,
    pub leader: Option<String>,
    pub leader_until_us: i64,
    pub token: i64,
}

pub async fn meta(
    connection: &impl ConnectionTrait,
    coupon: CouponId,
) -> Result<Option<Meta>, Error> {
    let select = D.statement(
        "SELECT epoch, base, slots, last_sequence, claim_from_us, claim_to_us, state, version, leader, leader_until_us, token FROM coupon_queues WHERE coupon_id = ?",
        vec![coupon.get().into()],
    );
    let row = connection.query_one_raw(select).await?;
    row.map(|row| read_meta(&row)).transpose()
}

fn read_meta(row: &QueryResult) -> Result<Meta, Error> {
    let state: String = row.try_get_by(6)?;
    Ok(Meta {
        epoch: row.try_get_by(0)?,
        base: row.try_get_by(1)?,
        slots: row.try_get_by(2)?,
        last: row.try_get_by(3)?,
        claim_from_us: row.try_get_by(4)?,
        claim_to_us: row.try_get_by(5)?,
        state: State::from_word(&state),
        version: row.try_get_by(7)?,
        leader: row.try_get_by(8)?,
        leader_until_us: row.try_get_by(9)?,
        token: row.try_get_by(10)?,
    })
}

/// Begins the terms' epoch; the leader is gone and its token too old.
pub async fn put_meta(
    connection: &impl ConnectionTrait,
    terms: &Terms,
    last: i64,
    token: i64,
) -> Result<(), Error> {
    let replace = D.statement(
        "INSERT OR REPLACE INTO coupon_queues (coupon_id, epoch, base, slots, last_sequence, claim_from_us, claim_to_us, keep_until_us, state, version, leader, leader_until_us, token) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, ?)",
        vec![
            terms.coupon.get().into(),
            terms.range.epoch.into(),
            terms.range.base.into(),
            terms.range.slots.into(),
            last.into(),
            terms.claim_from_us.into(),
            terms.claim_to_us.into(),
            terms.keep_until_us.into(),
            terms.state.word().into(),
            terms.version.into(),
            token.into(),
        ],
    );
    connection.execute_raw(replace).await?;
    Ok(())
}

/// Runs a statement; how many rows it changed.
pub async fn run(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<u64, Error> {
    let done = connection.execute_raw(D.statement(sql, values)).await?;
    Ok(done.rows_affected())
}

pub async fn query(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, Error> {
    Ok(connection.query_all_raw(D.statement(sql, values)).await?)
}

/// The standing of those users who have one.
pub async fn entries(
    connection: &impl ConnectionTrait,
    coupon: CouponId,
    users: &[UserId],
) -> Result<HashMap<UserId, Entry>, Error> {
    let mut found = HashMap::with_capacity(users.len());
    for chunk in users.chunks(CHUNK_MAX) {
        let chunk = padded(chunk);
        let sql = format!(
            "SELECT user_id, sequence, result FROM coupon_queue_entries WHERE coupon_id = ? AND user_id IN ({})",
            list(chunk.len())
        );
        let mut values: Vec<Value> = vec![coupon.get().into()];
        values.extend(chunk.into_iter().map(|user| Value::from(user.get())));
        for row in query(connection, &sql, values).await? {
            let entry = Entry {
                sequence: row.try_get_by(1)?,
                settled: settlement(&row, 2)?,
            };
            found.insert(user(&row, 0)?, entry);
        }
    }
    Ok(found)
}

pub fn user(row: &QueryResult, column: usize) -> Result<UserId, Error> {
    UserId::try_from(row.try_get_by::<i64, _>(column)?).map_err(Error::Other)
}

fn settlement(row: &QueryResult, column: usize) -> Result<Option<Settlement>, Error> {
    let word: Option<String> = row.try_get_by(column)?;
    word.map(|word| {
        Settlement::from_word(&word)
            .ok_or_else(|| Error::Other(format!("coupon_queue_entries.result {word:?}")))
    })
    .transpose()
}

/// A row to be written.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub user: UserId,
    pub sequence: i64,
    pub joined_us: i64,
    pub settled: Option<Settlement>,
}

/// Writes rows that are not there.
pub fn insert(writes: &mut Writes, coupon: CouponId, entries: &[NewEntry]) {
    writes.insert(INSERT, entries, |entry, row| entry.write(coupon, row));
}

/// As `insert`; `upsert` is what is done about those that are.
pub fn insert_or(writes: &mut Writes, coupon: CouponId, entries: &[NewEntry], upsert: &str) {
    writes.insert_or(INSERT, upsert, entries, |entry, row| {
        entry.write(coupon, row);
    });
}

const INSERT: &str = "INSERT INTO coupon_queue_entries (coupon_id, user_id, sequence, joined_us, phase, due_us, result)";

impl NewEntry {
    fn write(&self, coupon: CouponId, row: &mut Row<'_>) {
        let result = self.settled.map(Settlement::word);
        row.int(coupon.get())
            .int(self.user.get())
            .int(self.sequence)
            .int(self.joined_us)
            .int(result.as_ref().map_or(WAITING, |_| SETTLED))
            .int(0)
            .text(result.as_deref());
    }
}

/// Forgets the standing of these users.
pub fn remove(writes: &mut Writes, coupon: CouponId, users: impl Iterator<Item = UserId>) {
    let sql = "DELETE FROM coupon_queue_entries WHERE coupon_id = ? AND user_id = ?";
    for user in users {
        writes.push(sql, &[coupon.get().into(), user.get().into()], None);
    }
}
