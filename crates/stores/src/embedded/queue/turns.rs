//! Leases, acknowledgements, results and new epochs of the embedded queue, each one transaction.

use std::collections::HashSet;

use commerce::coupon::State;
use commerce::coupon::model::Holder;
use commerce::coupon::queue::{Ask, Lease, Leased, Settled, Settlement, Terms, Waiting};
use commerce::ids::{CouponId, UserId};
use sea_orm::Value;

use super::rows::{self, LEASED, NewEntry, PUBLISHED, WAITING};
use crate::sql::dialect::{list, padded};
use crate::sql::writes::Writes;
use crate::sql::{Database, Error, Transaction, follow_up, within};

pub async fn lease(db: &Database, ask: Ask<'_>) -> Result<Leased, Error> {
    // Most turns find nobody: the writer is not asked then.
    let sql = "SELECT 1 FROM coupon_queue_entries WHERE coupon_id = ? AND phase < 3 AND phase IN (0, 1) LIMIT 1";
    let some = rows::query(db.reader(), sql, vec![ask.coupon.get().into()]).await?;
    if some.is_empty() {
        return Ok(Leased::Nothing);
    }
    follow_up(db, "sql.queue-lease", |tx, _| Box::pin(lease_in(tx, ask))).await
}

async fn lease_in(tx: &Transaction, ask: Ask<'_>) -> Result<Leased, Error> {
    let coupon = ask.coupon.get();
    let Some(meta) = rows::meta(tx, ask.coupon).await? else {
        return Ok(Leased::Nothing);
    };
    if matches!(meta.state, None | Some(State::Paused)) {
        return Ok(Leased::Nothing);
    }
    let led = meta.leader.as_deref() == Some(ask.owner);
    if !led && meta.leader.is_some() && meta.leader_until_us > ask.now_us {
        return Ok(Leased::Busy);
    }
    let lapse = "UPDATE coupon_queue_entries SET phase = 0, due_us = 0 WHERE coupon_id = ? AND phase < 3 AND phase = 1 AND due_us <= ?";
    rows::run(tx, lapse, vec![coupon.into(), ask.now_us.into()]).await?;
    let room = ask.entries_max.min(
        ask.unsettled_max
            .saturating_sub(published(tx, ask.coupon).await?),
    );
    let entries = waiting(tx, ask.coupon, room).await?;
    let Some(last) = entries.last() else {
        return Ok(Leased::Nothing);
    };
    let lease_us = i64::try_from(ask.lease_ms).unwrap_or(i64::MAX / 1_000) * 1_000;
    let until_us = ask.now_us.saturating_add(lease_us);
    let take = "UPDATE coupon_queue_entries SET phase = 1, due_us = ? WHERE coupon_id = ? AND phase < 3 AND phase = 0 AND sequence <= ?";
    let values = vec![until_us.into(), coupon.into(), last.sequence.into()];
    rows::run(tx, take, values).await?;
    let token = meta.token + i64::from(!led);
    let lead =
        "UPDATE coupon_queues SET leader = ?, leader_until_us = ?, token = ? WHERE coupon_id = ?";
    let values = vec![
        ask.owner.into(),
        until_us.into(),
        token.into(),
        coupon.into(),
    ];
    rows::run(tx, lead, values).await?;
    Ok(Leased::Some(Lease {
        coupon: ask.coupon,
        epoch: meta.epoch,
        token,
        entries,
    }))
}

async fn published(tx: &Transaction, coupon: CouponId) -> Result<usize, Error> {
    let sql =
        "SELECT COUNT(*) FROM coupon_queue_entries WHERE coupon_id = ? AND phase < 3 AND phase = 2";
    let found = rows::query(tx, sql, vec![coupon.get().into()]).await?;
    let count: i64 = found.first().map_or(Ok(0), |row| row.try_get_by(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

async fn waiting(tx: &Transaction, coupon: CouponId, room: usize) -> Result<Vec<Waiting>, Error> {
    let sql = "SELECT user_id, sequence, joined_us FROM coupon_queue_entries WHERE coupon_id = ? AND phase < 3 AND phase = 0 ORDER BY sequence LIMIT ?";
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let found = rows::query(tx, sql, vec![coupon.get().into(), room.into()]).await?;
    found
        .iter()
        .map(|row| {
            Ok(Waiting {
                user: rows::user(row, 0)?,
                sequence: row.try_get_by(1)?,
                joined_us: row.try_get_by(2)?,
            })
        })
        .collect()
}

pub async fn acknowledge(db: &Database, lease: &Lease, users: &[UserId]) -> Result<bool, Error> {
    follow_up(db, "sql.queue-acknowledge", |tx, _| {
        Box::pin(async move {
            let meta = rows::meta(tx, lease.coupon).await?;
            if meta.is_none_or(|meta| meta.token != lease.token) {
                return Ok(false);
            }
            for chunk in users.chunks(rows::CHUNK_MAX) {
                let chunk = padded(chunk);
                let sql = format!(
                    "UPDATE coupon_queue_entries SET phase = ?, due_us = 0 WHERE coupon_id = ? AND phase = ? AND user_id IN ({})",
                    list(chunk.len())
                );
                let mut values: Vec<Value> = vec![
                    PUBLISHED.into(),
                    lease.coupon.get().into(),
                    LEASED.into(),
                ];
                values.extend(chunk.iter().map(|user| Value::from(user.get())));
                rows::run(tx, &sql, values).await?;
            }
            Ok(true)
        })
    })
    .await
}

pub async fn give_back(
    db: &Database,
    coupon: CouponId,
    numbers: &[(UserId, i64)],
) -> Result<(), Error> {
    follow_up(db, "sql.queue-give-back", |tx, _| {
        Box::pin(async move {
            let mut writes = Writes::new(rows::D);
            for (user, sequence) in numbers {
                let sql = "UPDATE coupon_queue_entries SET phase = ?, due_us = 0 WHERE coupon_id = ? AND user_id = ? AND sequence = ? AND phase < 3";
                let values = [
                    WAITING.into(),
                    coupon.get().into(),
                    user.get().into(),
                    (*sequence).into(),
                ];
                writes.push(sql, &values, None);
            }
            writes.send(tx).await
        })
    })
    .await
}

pub async fn settle(db: &Database, coupon: CouponId, results: &[Settled]) -> Result<(), Error> {
    follow_up(db, "sql.queue-settle", |tx, _| {
        Box::pin(async move {
            if rows::meta(tx, coupon).await?.is_none() {
                return Ok(());
            }
            let issued = |settled: &&Settled| matches!(settled.settlement, Settlement::Issued(_));
            let (issued, refused): (Vec<&Settled>, Vec<&Settled>) = results.iter().partition(issued);
            let mut writes = Writes::new(rows::D);
            let issued: Vec<NewEntry> = issued.into_iter().map(told).collect();
            rows::insert_or(&mut writes, coupon, &issued, TELL);
            // An issue stays whatever comes after it, and a refusal is of one number.
            for settled in refused {
                let guarded = format!(
                    "{TELL} WHERE coupon_queue_entries.sequence = {} AND (coupon_queue_entries.result IS NULL OR coupon_queue_entries.result NOT LIKE 'issued:%')",
                    settled.sequence
                );
                rows::insert_or(&mut writes, coupon, &[told(settled)], &guarded);
            }
            writes.send(tx).await
        })
    })
    .await
}

const TELL: &str = "ON CONFLICT (coupon_id, user_id) DO UPDATE SET phase = excluded.phase, due_us = 0, result = excluded.result";

/// The row of somebody who has none: a result without a place.
fn told(settled: &Settled) -> NewEntry {
    NewEntry {
        user: settled.user,
        sequence: 0,
        joined_us: 0,
        settled: Some(settled.settlement),
    }
}

/// The terms' epoch, from the holders and from whoever still waits.
pub async fn rebuild(db: &Database, terms: &Terms, holders: &[Holder]) -> Result<(), Error> {
    within(db, "sql.queue-rebuild", |tx, _| {
        Box::pin(rebuild_in(tx, terms, holders))
    })
    .await
}

async fn rebuild_in(tx: &Transaction, terms: &Terms, holders: &[Holder]) -> Result<(), Error> {
    let meta = rows::meta(tx, terms.coupon).await?;
    if meta
        .as_ref()
        .is_some_and(|meta| meta.epoch >= terms.range.epoch)
    {
        return Ok(());
    }
    let coupon = terms.coupon.get();
    let held: HashSet<UserId> = holders.iter().map(|holder| holder.user).collect();
    let mut entries: Vec<NewEntry> = holders
        .iter()
        .map(|holder| NewEntry {
            user: holder.user,
            sequence: holder.sequence,
            joined_us: 0,
            settled: Some(Settlement::Issued(holder.user_coupon)),
        })
        .collect();
    let mut last = terms.range.base;
    let sql = "SELECT user_id, sequence, joined_us FROM coupon_queue_entries WHERE coupon_id = ? AND phase < 3 ORDER BY sequence";
    for row in rows::query(tx, sql, vec![coupon.into()]).await? {
        let user = rows::user(&row, 0)?;
        if held.contains(&user) {
            continue;
        }
        let room = last < terms.range.end();
        last += i64::from(room);
        entries.push(NewEntry {
            user,
            sequence: if room { last } else { row.try_get_by(1)? },
            joined_us: row.try_get_by(2)?,
            settled: (!room).then_some(Settlement::SoldOut),
        });
    }
    let mut writes = Writes::new(rows::D);
    let users = holders.iter().map(|holder| holder.user);
    rows::remove(&mut writes, terms.coupon, users);
    // Refusals stay; what was issued and is not held any more was lost by the database, or never was.
    let sql = "DELETE FROM coupon_queue_entries WHERE coupon_id = ? AND (phase < 3 OR result LIKE 'issued:%')";
    writes.push(sql, &[coupon.into()], None);
    rows::insert(&mut writes, terms.coupon, &entries);
    writes.send(tx).await?;
    let token = meta.map_or(0, |meta| meta.token) + 1;
    rows::put_meta(tx, terms, last, token).await
}
