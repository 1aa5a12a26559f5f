//! Issuing in one transaction: the campaigns are locked, what bears on the requests is loaded, what was decided is written.
//! Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::coupon::issue::{Decision, Holding, Number, Numbered, Rule, Snapshot, VoidReason};
use commerce::coupon::model::HeldStatus;
use commerce::coupon::store::Decide;
use commerce::coupon::{IssueMode, Issuing, Refusal};
use commerce::ids::{CouponId, UserCouponId, UserId};
use jiff::Timestamp;
use sea_orm::{ConnectionTrait, Value};

use super::super::dialect::{list, padded};
use super::super::writes::Writes;
use super::super::{Dialect, Error, Transaction, follow_up, within};
use super::{SqlCoupons, holding, rows};

/// Values of an IN list.
const CHUNK_MAX: usize = 512;
/// Numbers that are asked for as one span may have this many others among them, for each of them.
const SPAN_PER_NUMBER_MAX: i64 = 2;

#[async_trait]
impl Issuing for SqlCoupons {
    async fn issue(
        &self,
        requests: &[Numbered],
        at: Timestamp,
        decide: Decide<'_>,
    ) -> Result<Vec<Decision>, StoreError> {
        let dialect = self.db.dialect();
        let decided = follow_up(&self.db, "sql.coupon-issue", |tx, _| {
            Box::pin(async move {
                let snapshot = load(tx, dialect, requests).await?;
                let decisions = decide(&snapshot);
                write(tx, dialect, requests, &decisions, at)
                    .await
                    .map_err(taken)?;
                Ok::<_, Error>(decisions)
            })
        });
        Ok(decided.await?)
    }

    async fn issue_direct(
        &self,
        coupon: CouponId,
        user: UserId,
        id: UserCouponId,
        at: Timestamp,
    ) -> Result<Result<UserCouponId, Refusal>, StoreError> {
        let dialect = self.db.dialect();
        let issued = within(&self.db, "sql.coupon-issue-direct", |tx, _| {
            Box::pin(async move {
                let Some(campaign) = rows::lock(tx, dialect, &[coupon]).await?.pop() else {
                    return Ok::<_, Error>(Err(Refusal::NotFound));
                };
                let held = holding(tx, dialect, coupon, user).await?;
                if let Err(refusal) = campaign.issue_directly(held, at) {
                    return Ok(Err(refusal));
                }
                let issue = Issue {
                    id,
                    coupon,
                    user,
                    epoch: campaign.range.epoch,
                    sequence: None,
                };
                let mut writes = Writes::new(dialect);
                insert(&mut writes, &[issue], at);
                writes.send(tx).await.map_err(taken)?;
                count(tx, dialect, coupon, 1).await?;
                Ok(Ok(id))
            })
        });
        Ok(issued.await?)
    }
}

/// Somebody wrote beside the campaign's lock: look again.
fn taken(error: Error) -> Error {
    match error {
        Error::Duplicate(key) => Error::Conflict(key),
        other => other,
    }
}

async fn load(
    tx: &Transaction,
    dialect: Dialect,
    requests: &[Numbered],
) -> Result<Snapshot, Error> {
    let mut by_coupon: BTreeMap<CouponId, Vec<&Numbered>> = BTreeMap::new();
    for request in requests {
        by_coupon.entry(request.coupon).or_default().push(request);
    }
    let coupons: Vec<CouponId> = by_coupon.keys().copied().collect();
    let mut snapshot = Snapshot::default();
    for campaign in rows::lock(tx, dialect, &coupons).await? {
        // A campaign that issues directly has no numbers.
        if campaign.issue_mode != IssueMode::Queue {
            continue;
        }
        let rule = Rule {
            range: campaign.range,
            state: campaign.state,
        };
        snapshot.rules.insert(campaign.id, rule);
        let asked = by_coupon.get(&campaign.id).map_or(&[][..], Vec::as_slice);
        let users: BTreeSet<i64> = asked.iter().map(|r| r.user.get()).collect();
        load_held(tx, dialect, campaign.id, users, &mut snapshot).await?;
        let epoch = rule.range.epoch;
        let numbers = asked.iter().filter(|r| r.epoch == epoch);
        let numbers: BTreeSet<i64> = numbers.map(|r| r.sequence).collect();
        load_numbers(tx, dialect, campaign.id, epoch, numbers, &mut snapshot).await?;
    }
    Ok(snapshot)
}

async fn load_held(
    tx: &Transaction,
    dialect: Dialect,
    coupon: CouponId,
    users: BTreeSet<i64>,
    snapshot: &mut Snapshot,
) -> Result<(), Error> {
    let users: Vec<i64> = users.into_iter().collect();
    for chunk in users.chunks(CHUNK_MAX) {
        let chunk = padded(chunk);
        let sql = format!(
            "SELECT user_id, id, epoch, sequence FROM user_coupons WHERE coupon_id = ? AND user_id IN ({})",
            list(chunk.len())
        );
        let mut values: Vec<Value> = vec![coupon.get().into()];
        values.extend(chunk.into_iter().map(Value::from));
        for row in tx.query_all_raw(dialect.statement(sql, values)).await? {
            let holding = Holding {
                id: rows::id(&row, 1)?,
                epoch: row.try_get_by(2)?,
                sequence: row.try_get_by(3)?,
            };
            snapshot.held.insert((coupon, rows::id(&row, 0)?), holding);
        }
    }
    Ok(())
}

async fn load_numbers(
    tx: &Transaction,
    dialect: Dialect,
    coupon: CouponId,
    epoch: i64,
    numbers: BTreeSet<i64>,
    snapshot: &mut Snapshot,
) -> Result<(), Error> {
    let numbers: Vec<i64> = numbers.into_iter().collect();
    for (which, chunk) in asked_for(&numbers) {
        for table in ["user_coupons", "coupon_voids"] {
            let sql = format!(
                "SELECT sequence, user_id FROM {table} WHERE coupon_id = ? AND epoch = ? AND sequence {which}"
            );
            let mut values: Vec<Value> = vec![coupon.get().into(), epoch.into()];
            values.extend(chunk.iter().copied().map(Value::from));
            for row in tx.query_all_raw(dialect.statement(sql, values)).await? {
                let number = Number {
                    coupon,
                    epoch,
                    sequence: row.try_get_by(0)?,
                };
                let of = match table {
                    "user_coupons" => &mut snapshot.issued,
                    _ => &mut snapshot.voids,
                };
                of.insert(number, rows::id(&row, 1)?);
            }
        }
    }
    Ok(())
}

/// How these numbers, in order, are asked for, and with which values. Those of a batch nearly always follow each other: then
/// it is one span, with a few that nobody asked for, in place of long lists.
fn asked_for(numbers: &[i64]) -> Vec<(String, Vec<i64>)> {
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return Vec::new();
    };
    let count = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
    let span = last.saturating_sub(*first);
    if span < count.saturating_mul(SPAN_PER_NUMBER_MAX) {
        return vec![("BETWEEN ? AND ?".to_owned(), vec![*first, *last])];
    }
    let lists = numbers.chunks(CHUNK_MAX).map(|chunk| {
        let chunk = padded(chunk);
        (format!("IN ({})", list(chunk.len())), chunk)
    });
    lists.collect()
}

struct Issue {
    id: UserCouponId,
    coupon: CouponId,
    user: UserId,
    epoch: i64,
    sequence: Option<i64>,
}

async fn write(
    tx: &Transaction,
    dialect: Dialect,
    requests: &[Numbered],
    decisions: &[Decision],
    at: Timestamp,
) -> Result<(), Error> {
    let mut issues = Vec::new();
    let mut voids = Vec::new();
    let mut counts: BTreeMap<CouponId, i64> = BTreeMap::new();
    for (request, decision) in requests.iter().zip(decisions) {
        match decision {
            Decision::Issue(id) => {
                *counts.entry(request.coupon).or_default() += 1;
                issues.push(Issue {
                    id: *id,
                    coupon: request.coupon,
                    user: request.user,
                    epoch: request.epoch,
                    sequence: Some(request.sequence),
                });
            }
            Decision::Held { void: true, .. } => voids.push((request, VoidReason::AlreadyHeld)),
            Decision::Closed { void: true } => voids.push((request, VoidReason::Closed)),
            _ => {}
        }
    }
    let mut writes = Writes::new(dialect);
    insert(&mut writes, &issues, at);
    let head = "INSERT INTO coupon_voids (coupon_id, epoch, sequence, user_id, reason)";
    writes.insert(head, &voids, |(request, reason), row| {
        row.int(request.coupon.get())
            .int(request.epoch)
            .int(request.sequence)
            .int(request.user.get())
            .text(reason.word());
    });
    writes.send(tx).await?;
    for (coupon, issued) in counts {
        count(tx, dialect, coupon, issued).await?;
    }
    Ok(())
}

fn insert(writes: &mut Writes, issues: &[Issue], at: Timestamp) {
    let head =
        "INSERT INTO user_coupons (id, coupon_id, user_id, epoch, sequence, status, issued_us)";
    writes.insert(head, issues, |issue, row| {
        row.int(issue.id.get())
            .int(issue.coupon.get())
            .int(issue.user.get())
            .int(issue.epoch)
            .int(issue.sequence)
            .text(HeldStatus::Available.word())
            .int(at.as_microsecond());
    });
}

async fn count(
    tx: &Transaction,
    dialect: Dialect,
    coupon: CouponId,
    issued: i64,
) -> Result<(), Error> {
    // Guarded although the decision has seen to it: a quota is never overdrawn, whatever was decided.
    let update = dialect.statement(
        "UPDATE coupons SET issued = issued + ? WHERE id = ? AND issued + ? <= quota",
        vec![issued.into(), coupon.get().into(), issued.into()],
    );
    let done = tx.execute_raw(update).await?;
    if done.rows_affected() != 1 {
        return Err(Error::guard("coupons.issued"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_span_and_others_are_lists() {
        assert_eq!(asked_for(&[]), []);
        let span = |first, last| vec![("BETWEEN ? AND ?".to_owned(), vec![first, last])];
        assert_eq!(asked_for(&[7]), span(7, 7));
        assert_eq!(asked_for(&[7, 8, 10]), span(7, 10));
        assert_eq!(
            asked_for(&[1, 2, 900]),
            [("IN (?, ?, ?, ?)".to_owned(), vec![1, 2, 900, 900])]
        );
        assert_eq!(asked_for(&[i64::MIN, i64::MAX]).len(), 1);
        let far: Vec<i64> = (0..700).map(|n| n * 1_000).collect();
        let lists = asked_for(&far);
        let asked: Vec<i64> = lists
            .iter()
            .flat_map(|(_, values)| values.clone())
            .collect();
        assert!(far.iter().all(|n| asked.contains(n)) && lists.len() == 2);
    }
}
