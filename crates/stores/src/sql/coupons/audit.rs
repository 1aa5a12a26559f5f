//! Every campaign against its rows, read in one snapshot, for the audit.

use std::collections::{BTreeSet, HashMap};

use commerce::coupon::{AuditFacts, Campaign, IssueMode};
use commerce::ids::CouponId;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, IsolationLevel, TransactionOptions, TransactionTrait,
    Value,
};

use super::super::{Database, Dialect, Error};
use super::rows;

/// Undecided numbers named one by one.
const NAMED_MAX: usize = 10;

pub async fn facts(db: &Database, last: &[(CouponId, i64)]) -> Result<Vec<AuditFacts>, Error> {
    let last: HashMap<CouponId, i64> = last.iter().copied().collect();
    let options = TransactionOptions {
        // SQLite's every transaction reads one snapshot.
        isolation_level: (db.dialect() == Dialect::MySql).then_some(IsolationLevel::RepeatableRead),
        ..TransactionOptions::default()
    };
    let tx = db.reader().begin_with_options(options).await?;
    let snapshot = Snapshot {
        tx: &tx,
        dialect: db.dialect(),
    };
    let mut facts = Vec::new();
    for campaign in snapshot.campaigns().await? {
        let last = last.get(&campaign.id).copied();
        facts.push(snapshot.facts(&campaign, last).await?);
    }
    tx.rollback().await?;
    Ok(facts)
}

struct Snapshot<'a> {
    tx: &'a DatabaseTransaction,
    dialect: Dialect,
}

impl Snapshot<'_> {
    async fn campaigns(&self) -> Result<Vec<Campaign>, Error> {
        let sql = format!("SELECT {} FROM coupons ORDER BY id", rows::CAMPAIGN);
        let found = self.tx.query_all_raw(self.dialect.statement(sql, vec![]));
        found.await?.iter().map(rows::campaign).collect()
    }

    async fn facts(&self, campaign: &Campaign, last: Option<i64>) -> Result<AuditFacts, Error> {
        let coupon = campaign.id.get();
        let range = campaign.range;
        let rows = "SELECT COUNT(*) FROM user_coupons WHERE coupon_id = ?";
        let twice = "SELECT user_id AS n FROM user_coupons WHERE coupon_id = ? GROUP BY user_id HAVING COUNT(*) > 1";
        let outside = "SELECT sequence AS n FROM user_coupons WHERE coupon_id = ? AND epoch = ? AND sequence IS NOT NULL AND (sequence <= ? OR sequence > ?)";
        let (users_twice, users_twice_first) = self.named(twice, vec![coupon.into()]).await?;
        let mut facts = AuditFacts {
            coupon: campaign.id,
            issue_mode: campaign.issue_mode,
            quota: campaign.quota.get(),
            issued_counted: campaign.issued,
            issued_rows: self.number(rows, vec![coupon.into()]).await?,
            users_twice,
            users_twice_first,
            range,
            last,
            outside_range: 0,
            outside_range_first: Vec::new(),
            undecided: 0,
            undecided_first: Vec::new(),
        };
        if campaign.issue_mode == IssueMode::Queue {
            let values = vec![
                coupon.into(),
                range.epoch.into(),
                range.base.into(),
                range.end().into(),
            ];
            (facts.outside_range, facts.outside_range_first) = self.named(outside, values).await?;
            // A number of an older epoch says nothing about this one.
            let end = last.unwrap_or(range.base).min(range.end()).max(range.base);
            let decided = self.decided(campaign, end).await?;
            facts.undecided = end - range.base - decided.len() as i64;
            facts.undecided_first = (range.base + 1..=end)
                .filter(|number| !decided.contains(number))
                .take(NAMED_MAX)
                .collect();
        }
        Ok(facts)
    }

    /// The numbers of the winners' range up to `end` that are a coupon or void.
    async fn decided(&self, campaign: &Campaign, end: i64) -> Result<BTreeSet<i64>, Error> {
        let mut decided = BTreeSet::new();
        for table in ["user_coupons", "coupon_voids"] {
            let sql = format!(
                "SELECT sequence FROM {table} WHERE coupon_id = ? AND epoch = ? AND sequence > ? AND sequence <= ?"
            );
            let values = vec![
                campaign.id.get().into(),
                campaign.range.epoch.into(),
                campaign.range.base.into(),
                end.into(),
            ];
            let statement = self.dialect.statement(sql, values);
            for row in self.tx.query_all_raw(statement).await? {
                decided.insert(row.try_get_by::<i64, _>(0)?);
            }
        }
        Ok(decided)
    }

    /// How many `n` the select finds, and the first of them.
    async fn named(&self, select: &str, values: Vec<Value>) -> Result<(i64, Vec<i64>), Error> {
        let count = format!("SELECT COUNT(*) FROM ({select}) t");
        let count = self.number(&count, values.clone()).await?;
        if count == 0 {
            return Ok((0, Vec::new()));
        }
        let first = format!("SELECT t.n FROM ({select}) t ORDER BY t.n LIMIT {NAMED_MAX}");
        let rows = self
            .tx
            .query_all_raw(self.dialect.statement(first, values))
            .await?;
        let first: Result<_, _> = rows.iter().map(|row| row.try_get_by(0)).collect();
        Ok((count, first?))
    }

    async fn number(&self, sql: &str, values: Vec<Value>) -> Result<i64, Error> {
        let statement = self.dialect.statement(sql, values);
        let row = self.tx.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Error::Other("a count without a row".into()))?;
        Ok(row.try_get_by(0)?)
    }
}
