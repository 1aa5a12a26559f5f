//! Joins in the local file: all that wait are decided in turn and committed in one transaction, with one fsync.
//! Who is gathered is told by `joining`.
//! Behind the queue's `join`.

use std::collections::HashMap;

use async_trait::async_trait;
use commerce::coupon::State;
use commerce::coupon::queue::{Entry, Error, Joined, Place, Settlement};
use commerce::ids::{CouponId, UserId};
use commerce::together::{Carry, by_key};

use super::rows::{self, Meta, NewEntry};
use crate::joining::Join;
use crate::sql::writes::Writes;
use crate::sql::{self, Database, Transaction, within};

pub struct Joins(pub Database);

#[async_trait]
impl Carry for Joins {
    type Request = Join;
    type Answer = Result<Joined, Error>;

    async fn carry(&self, joins: &[Join]) -> Vec<Result<Joined, Error>> {
        match commit(&self.0, joins).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(super::of_sql(error)); joins.len()],
        }
    }
}

async fn commit(db: &Database, batch: &[Join]) -> Result<Vec<Joined>, sql::Error> {
    let by_coupon = &by_key(batch, |join| join.coupon);
    within(db, "sql.queue-join", |tx, _| {
        Box::pin(async move {
            let mut answers = vec![Joined::Unknown; batch.len()];
            for (coupon, joins) in by_coupon {
                let joins: Vec<(usize, &Join)> = joins.iter().map(|i| (*i, &batch[*i])).collect();
                for (i, joined) in campaign(tx, *coupon, &joins).await? {
                    answers[i] = joined;
                }
            }
            Ok(answers)
        })
    })
    .await
}

async fn campaign(
    tx: &Transaction,
    coupon: CouponId,
    joins: &[(usize, &Join)],
) -> Result<Vec<(usize, Joined)>, sql::Error> {
    let Some(meta) = rows::meta(tx, coupon).await? else {
        return Ok(Vec::new());
    };
    let users: Vec<UserId> = joins.iter().map(|(_, join)| join.user).collect();
    let mut line = Line {
        entries: rows::entries(tx, coupon, &users).await?,
        before: meta.last,
        meta,
        new: Vec::new(),
        again: Vec::new(),
    };
    let answers = joins
        .iter()
        .map(|(i, join)| (*i, line.join(join.user, join.now_us)))
        .collect();
    let mut writes = Writes::new(rows::D);
    rows::remove(&mut writes, coupon, line.again.iter().copied());
    rows::insert(&mut writes, coupon, &line.new);
    if line.meta.last > line.before {
        let sql = "UPDATE coupon_queues SET last_sequence = ? WHERE coupon_id = ?";
        writes.push(sql, &[line.meta.last.into(), coupon.get().into()], 1);
    }
    writes.send(tx).await?;
    Ok(answers)
}

/// A campaign's queue while a batch joins it.
struct Line {
    meta: Meta,
    before: i64,
    entries: HashMap<UserId, Entry>,
    new: Vec<NewEntry>,
    /// Those whose old entry makes room for a new one.
    again: Vec<UserId>,
}

impl Line {
    fn join(&mut self, user: UserId, now_us: i64) -> Joined {
        let Some(state) = self.meta.state else {
            return Joined::Recovering;
        };
        let before = self.entries.get(&user).copied();
        match before {
            Some(Entry {
                sequence,
                settled: None,
            }) => return Joined::AlreadyQueued(self.place(sequence)),
            Some(Entry {
                settled: Some(settlement),
                ..
            }) if settlement != Settlement::Restarted => return Joined::Settled(settlement),
            _ => {}
        }
        match state {
            State::Closed => return Joined::Closed,
            State::Paused => return Joined::Paused,
            State::Open if now_us < self.meta.claim_from_us => return Joined::NotOpen,
            State::Open if now_us >= self.meta.claim_to_us => return Joined::Ended,
            State::Open => {}
        }
        if self.meta.last >= self.meta.base + self.meta.slots {
            return Joined::SoldOut;
        }
        self.meta.last += 1;
        let sequence = self.meta.last;
        let entry = Entry {
            sequence,
            settled: None,
        };
        if self.entries.insert(user, entry).is_some() {
            self.again.push(user);
        }
        self.new.push(NewEntry {
            user,
            sequence,
            joined_us: now_us,
            settled: None,
        });
        Joined::Queued(self.place(sequence))
    }

    fn place(&self, sequence: i64) -> Place {
        Place {
            sequence,
            base: self.meta.base,
            last: self.meta.last,
        }
    }
}
