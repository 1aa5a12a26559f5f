//! What a batch of orders touches, read under lock: coupons, then wallets, then products, each in order of id.
//! The primary key is forced: without the hint a small table is scanned whole, locking what nobody asked for.

use std::collections::HashMap;

use commerce::amount::{Name, Won};
use commerce::catalogue::Listing;
use commerce::clock::from_us;
use commerce::ids::{CouponId, ProductId, UserCouponId, UserId};
use commerce::order::{HeldCoupon, Pending, Snapshot, Stocked};
use jiff::Timestamp;
use sea_orm::{ConnectionTrait, QueryResult};

use super::column;
use crate::sql::dialect::{list, padded};
use crate::sql::{Dialect, Error, Transaction};

/// Ids a statement.
const IDS_MAX: usize = 512;

pub(super) async fn snapshot(
    tx: &Transaction,
    dialect: Dialect,
    orders: &[&Pending],
) -> Result<Snapshot, Error> {
    let places = || orders.iter().map(|pending| &pending.place);
    let coupons = places().filter_map(|p| p.coupon).map(UserCouponId::get);
    let coupons = coupons_of(tx, dialect, coupons.collect()).await?;
    let users = places().map(|place| place.user.get()).collect();
    let wallets = wallets(tx, dialect, users).await?;
    let lines = places().flat_map(|place| place.lines.as_slice());
    let products = lines.map(|line| line.product_id.get()).collect();
    let (products, now) = products_of(tx, dialect, products).await?;
    Ok(Snapshot {
        now,
        products,
        wallets,
        coupons,
    })
}

/// The rows of these ids in order of id; `sql` ends before its WHERE.
async fn by_id(
    tx: &Transaction,
    dialect: Dialect,
    sql: &str,
    id: &str,
    end: &str,
    mut ids: Vec<i64>,
) -> Result<Vec<QueryResult>, Error> {
    ids.sort_unstable();
    ids.dedup();
    let mut rows = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(IDS_MAX) {
        let asked = padded(chunk);
        let sql = format!(
            "{sql} WHERE {id} IN ({}) ORDER BY {id}{end}",
            list(asked.len())
        );
        let values = asked.into_iter().map(Into::into).collect();
        rows.extend(tx.query_all_raw(dialect.statement(sql, values)).await?);
    }
    Ok(rows)
}

async fn coupons_of(
    tx: &Transaction,
    dialect: Dialect,
    ids: Vec<i64>,
) -> Result<HashMap<UserCouponId, HeldCoupon>, Error> {
    let sql = format!(
        "SELECT id, user_id, coupon_id, status FROM user_coupons{}",
        dialect.force_primary()
    );
    let held = by_id(tx, dialect, &sql, "id", dialect.for_update(), ids).await?;
    let campaigns = held.iter().map(|row| row.try_get_by::<i64, _>(2));
    let campaigns = campaigns.collect::<Result<Vec<_>, _>>()?;
    // Not locked: their terms are whatever is committed now.
    let sql = "SELECT id, discount_amount, min_order_amount, expires_us FROM coupons";
    let terms = by_id(tx, dialect, sql, "id", "", campaigns).await?;
    let terms = terms
        .iter()
        .map(|row| Ok((column::<CouponId>(row, 0)?, row)))
        .collect::<Result<HashMap<_, _>, Error>>()?;
    held.iter()
        .map(|row| {
            let campaign: CouponId = column(row, 2)?;
            let terms = terms
                .get(&campaign)
                .ok_or_else(|| Error::Other(format!("no campaign {campaign}")))?;
            let status: String = row.try_get_by(3)?;
            let coupon = HeldCoupon {
                owner: column(row, 1)?,
                available: status == "AVAILABLE",
                discount: column(terms, 1)?,
                min_order_amount: column(terms, 2)?,
                expires_at: from_us(terms.try_get_by(3)?),
            };
            Ok((column(row, 0)?, coupon))
        })
        .collect()
}

pub(super) async fn wallets(
    tx: &Transaction,
    dialect: Dialect,
    users: Vec<i64>,
) -> Result<HashMap<UserId, Won>, Error> {
    let sql = format!(
        "SELECT user_id, balance FROM wallets{}",
        dialect.force_primary()
    );
    let rows = by_id(tx, dialect, &sql, "user_id", dialect.for_update(), users).await?;
    rows.iter()
        .map(|row| Ok((column(row, 0)?, column(row, 1)?)))
        .collect()
}

/// With the database's clock, which comes along without a question of its own.
async fn products_of(
    tx: &Transaction,
    dialect: Dialect,
    ids: Vec<i64>,
) -> Result<(HashMap<ProductId, Stocked>, Timestamp), Error> {
    let sql = format!(
        "SELECT id, name, price, stock, status, {} FROM products{}",
        dialect.now_us(),
        dialect.force_primary()
    );
    let rows = by_id(tx, dialect, &sql, "id", dialect.for_update(), ids).await?;
    // Without a product no order comes as far as its coupon.
    let now_us = rows.last().map_or(Ok(0), |row| row.try_get_by(5))?;
    let products = rows.iter().map(|row| Ok((column(row, 0)?, stocked(row)?)));
    let products = products.collect::<Result<_, Error>>()?;
    Ok((products, from_us(now_us)))
}

fn stocked(row: &QueryResult) -> Result<Stocked, Error> {
    let status: String = row.try_get_by(4)?;
    Ok(Stocked {
        name: Name::try_from(row.try_get_by::<String, _>(1)?).map_err(Error::Other)?,
        price: column(row, 2)?,
        stock: row.try_get_by(3)?,
        listing: Listing::from_word(&status)
            .ok_or_else(|| Error::Other(format!("products.status {status}")))?,
    })
}

/// Locks rows that a guarded write will change.
pub(super) async fn lock(
    tx: &Transaction,
    dialect: Dialect,
    table: &str,
    ids: Vec<i64>,
) -> Result<(), Error> {
    let sql = format!("SELECT id FROM {table}{}", dialect.force_primary());
    by_id(tx, dialect, &sql, "id", dialect.for_update(), ids)
        .await
        .map(drop)
}
