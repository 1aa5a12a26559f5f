//! Campaigns and holdings as rows: reading, writing, locking.

use commerce::clock::from_us;
use commerce::coupon::model::{Held, HeldStatus, Holder, Range};
use commerce::coupon::{Campaign, IssueMode, State};
use commerce::ids::CouponId;
use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::super::dialect::{list, padded};
use super::super::{Dialect, Error, Transaction};

pub const CAMPAIGN: &str = "id, name, discount_amount, min_order_amount, quota, issued, claim_from_us, claim_to_us, expires_us, state, issue_mode, epoch, base, slots, ceiling, opened_epoch, version, created_us, updated_us";
const COLUMNS: usize = 19;

pub fn campaign(row: &QueryResult) -> Result<Campaign, Error> {
    let state: String = row.try_get_by(9)?;
    let mode: String = row.try_get_by(10)?;
    let name: String = row.try_get_by(1)?;
    let at = |column| -> Result<_, Error> { Ok(from_us(row.try_get_by(column)?)) };
    Ok(Campaign {
        id: id(row, 0)?,
        name: name.try_into().map_err(|e| unreadable("name", e))?,
        discount_amount: checked(row, 2)?,
        min_order_amount: checked(row, 3)?,
        quota: checked(row, 4)?,
        issued: row.try_get_by(5)?,
        claim_from: at(6)?,
        claim_to: at(7)?,
        expires_at: at(8)?,
        state: State::from_word(&state).ok_or_else(|| unreadable("state", state))?,
        issue_mode: IssueMode::from_word(&mode).ok_or_else(|| unreadable("issue_mode", mode))?,
        range: Range {
            epoch: row.try_get_by(11)?,
            base: row.try_get_by(12)?,
            slots: row.try_get_by(13)?,
        },
        ceiling: row.try_get_by(14)?,
        opened_epoch: row.try_get_by(15)?,
        version: row.try_get_by(16)?,
        created_at: at(17)?,
        updated_at: at(18)?,
    })
}

fn values(campaign: &Campaign) -> [Value; COLUMNS] {
    [
        campaign.id.get().into(),
        campaign.name.as_str().into(),
        campaign.discount_amount.get().into(),
        campaign.min_order_amount.get().into(),
        campaign.quota.get().into(),
        campaign.issued.into(),
        campaign.claim_from.as_microsecond().into(),
        campaign.claim_to.as_microsecond().into(),
        campaign.expires_at.as_microsecond().into(),
        campaign.state.word().into(),
        campaign.issue_mode.word().into(),
        campaign.range.epoch.into(),
        campaign.range.base.into(),
        campaign.range.slots.into(),
        campaign.ceiling.into(),
        campaign.opened_epoch.into(),
        campaign.version.into(),
        campaign.created_at.as_microsecond().into(),
        campaign.updated_at.as_microsecond().into(),
    ]
}

/// `verb`: `INSERT`, or the dialect's that leaves a row which is there as it is.
pub async fn insert(
    tx: &Transaction,
    dialect: Dialect,
    verb: &str,
    campaign: &Campaign,
) -> Result<(), Error> {
    let sql = format!(
        "{verb} INTO coupons ({CAMPAIGN}) VALUES ({})",
        list(COLUMNS)
    );
    tx.execute_raw(dialect.statement(sql, values(campaign).to_vec()))
        .await?;
    Ok(())
}

/// Writes every column of a locked row.
pub async fn update(tx: &Transaction, dialect: Dialect, campaign: &Campaign) -> Result<(), Error> {
    let columns: Vec<String> = CAMPAIGN
        .split(", ")
        .skip(1)
        .map(|column| format!("{column} = ?"))
        .collect();
    let sql = format!("UPDATE coupons SET {} WHERE id = ?", columns.join(", "));
    let mut values = values(campaign).to_vec();
    values.rotate_left(1);
    let done = tx.execute_raw(dialect.statement(sql, values)).await?;
    if done.rows_affected() != 1 {
        return Err(Error::guard("coupons"));
    }
    Ok(())
}

/// Locks the campaigns that exist, in order of id.
pub async fn lock(
    tx: &Transaction,
    dialect: Dialect,
    coupons: &[CouponId],
) -> Result<Vec<Campaign>, Error> {
    let mut ids: Vec<i64> = coupons.iter().map(|id| id.get()).collect();
    ids.sort_unstable();
    ids.dedup();
    let ids = padded(&ids);
    let sql = format!(
        "SELECT {CAMPAIGN} FROM coupons{} WHERE id IN ({}) ORDER BY id{}",
        dialect.force_primary(),
        list(ids.len()),
        dialect.for_update()
    );
    let values = ids.into_iter().map(Value::from).collect();
    let found = tx.query_all_raw(dialect.statement(sql, values)).await?;
    found.iter().map(campaign).collect()
}

/// `h.id, h.coupon_id, c.name, c.discount_amount, h.status, h.issued_us, h.used_us, expired`
pub fn held(row: &QueryResult) -> Result<Held, Error> {
    let name: String = row.try_get_by(2)?;
    let word: String = row.try_get_by(4)?;
    let status = HeldStatus::from_word(&word).ok_or_else(|| unreadable("status", word))?;
    let expired: i64 = row.try_get_by(7)?;
    let status = match status {
        HeldStatus::Available if expired != 0 => HeldStatus::Expired,
        status => status,
    };
    let used: Option<i64> = row.try_get_by(6)?;
    Ok(Held {
        user_coupon_id: id(row, 0)?,
        coupon_id: id(row, 1)?,
        coupon_name: name.try_into().map_err(|e| unreadable("name", e))?,
        discount_amount: checked(row, 3)?,
        status,
        issued_at: from_us(row.try_get_by(5)?),
        used_at: used.map(from_us),
    })
}

/// `user_id, id, sequence`
pub fn holder(row: &QueryResult) -> Result<Holder, Error> {
    let sequence: Option<i64> = row.try_get_by(2)?;
    Ok(Holder {
        user: id(row, 0)?,
        user_coupon: id(row, 1)?,
        sequence: sequence.unwrap_or(0),
    })
}

/// An id of any kind.
pub fn id<T: TryFrom<i64, Error = String>>(row: &QueryResult, column: usize) -> Result<T, Error> {
    checked(row, column)
}

fn checked<T: TryFrom<i64, Error = String>>(row: &QueryResult, column: usize) -> Result<T, Error> {
    let value: i64 = row.try_get_by(column)?;
    T::try_from(value).map_err(|e| unreadable("a number", format!("{value}: {e}")))
}

fn unreadable(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Other(format!("coupons: {what} cannot be read: {why}"))
}
