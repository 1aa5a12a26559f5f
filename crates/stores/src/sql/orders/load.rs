//! What a batch of orders touches, read under lock: coupons, then wallets, then products, each in order of id.
//! The primary key is forced: without the hint a small table is scanned whole, locking what nobody asked for.

use std::collections::HashMap;

use commerce::amount::{Name, Won};
use commerce::catalogue::Listing;
use commerce::clock::from_us;
use commerce::ids::{CouponId, UserCouponId, UserId};
use commerce::order::{HeldCoupon, Pending, Snapshot, Stocked};
use sea_orm::QueryResult;

use super::column;
use crate::sql::reads::{Answers, Asked, Reads};
use crate::sql::{Dialect, Error, Transaction};

/// Where what a batch touches is among the answers.
pub(super) struct Touched {
    coupons: Asked,
    wallets: Asked,
    products: Asked,
}

pub(super) fn ask(reads: &mut Reads, dialect: Dialect, orders: &[Pending]) -> Touched {
    let places = || orders.iter().map(|pending| &pending.place);
    let primary = dialect.force_primary();
    let sql = format!("SELECT id, user_id, coupon_id, status FROM user_coupons{primary}");
    let coupons = places().filter_map(|p| p.coupon).map(UserCouponId::get);
    let coupons = reads.by_id(&sql, "id", dialect.for_update(), coupons.collect());
    let users = places().map(|place| place.user.get());
    let wallets = ask_wallets(reads, dialect, users.collect());
    let lines = places().flat_map(|place| place.lines.as_slice());
    let products = lines.map(|line| line.product_id.get());
    // With the database's clock, which comes along without a question of its own.
    let now_us = dialect.now_us();
    let sql = format!("SELECT id, name, price, stock, status, {now_us} FROM products{primary}");
    let products = reads.by_id(&sql, "id", dialect.for_update(), products.collect());
    Touched {
        coupons,
        wallets,
        products,
    }
}

pub(super) async fn snapshot(
    tx: &Transaction,
    dialect: Dialect,
    answers: &Answers,
    touched: Touched,
) -> Result<Snapshot, Error> {
    let products: Vec<_> = answers.rows(touched.products).collect();
    // Without a product no order comes as far as its coupon.
    let now_us = products.last().map_or(Ok(0), |row| row.try_get_by(5))?;
    let products = products
        .into_iter()
        .map(|row| Ok((column(row, 0)?, stocked(row)?)));
    let products = products.collect::<Result<_, Error>>()?;
    let held: Vec<_> = answers.rows(touched.coupons).collect();
    Ok(Snapshot {
        now: from_us(now_us),
        products,
        wallets: balances(answers, touched.wallets)?,
        coupons: coupons(tx, dialect, &held).await?,
    })
}

/// The terms of coupons that are held. Not locked: they are whatever is committed now.
async fn coupons(
    tx: &Transaction,
    dialect: Dialect,
    held: &[&QueryResult],
) -> Result<HashMap<UserCouponId, HeldCoupon>, Error> {
    let campaigns = held.iter().map(|row| row.try_get_by::<i64, _>(2));
    let campaigns = campaigns.collect::<Result<Vec<_>, _>>()?;
    let mut reads = Reads::new(dialect);
    let sql = "SELECT id, discount_amount, min_order_amount, expires_us FROM coupons";
    let asked = reads.by_id(sql, "id", "", campaigns);
    let answers = reads.ask(tx).await?;
    let terms = answers
        .rows(asked)
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

pub(super) fn ask_wallets(reads: &mut Reads, dialect: Dialect, users: Vec<i64>) -> Asked {
    let primary = dialect.force_primary();
    let sql = format!("SELECT user_id, balance FROM wallets{primary}");
    reads.by_id(&sql, "user_id", dialect.for_update(), users)
}

pub(super) fn balances(answers: &Answers, wallets: Asked) -> Result<HashMap<UserId, Won>, Error> {
    let rows = answers.rows(wallets);
    rows.map(|row| Ok((column(row, 0)?, column(row, 1)?)))
        .collect()
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
pub(super) fn ask_to_lock(reads: &mut Reads, dialect: Dialect, table: &str, ids: Vec<i64>) {
    let sql = format!("SELECT id FROM {table}{}", dialect.force_primary());
    reads.by_id(&sql, "id", dialect.for_update(), ids);
}
