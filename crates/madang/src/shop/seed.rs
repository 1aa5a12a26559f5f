//! Filling the shop with numbered things: users with money, products with stock, campaigns that are open.
//! Safe to repeat: what is there stays as it is. The command `seed` and `serve --demo` call it.

use anyhow::Context;
use commerce::amount::Won;
use commerce::coupon::model::{Discount, Quota};
use commerce::ids::UserId;
use jiff::SignedDuration;
use stores::sql::catalogue::{Seed as ProductSeed, seed_products};
use stores::sql::coupons::{Seed as CouponSeed, seed as seed_coupons};
use stores::sql::wallet_seed::{Seed as WalletSeed, seed_wallets};

use super::{Shop, coupons};

/// What to fill in; numbers begin at 1 where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    pub first_user: i64,
    pub users: i64,
    pub balance: i64,
    pub products: i64,
    pub stock: i64,
    pub price: i64,
    pub coupons: i64,
    pub quota: i64,
    pub discount: i64,
}

/// Seeded campaigns can be claimed for so long.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// # Errors
/// A number out of bounds, or the database's.
pub async fn fill(shop: &Shop, fill: &Fill) -> anyhow::Result<()> {
    let now = shop.features.clock.now();
    let at_us = now.as_microsecond();
    if fill.users > 0 {
        let user = |id: i64| {
            UserId::try_from(id)
                .map_err(anyhow::Error::msg)
                .context("users")
        };
        let seed = WalletSeed {
            first: user(fill.first_user)?,
            last: user(fill.first_user + fill.users - 1)?,
            balance: Won::try_from(fill.balance)
                .map_err(anyhow::Error::msg)
                .context("balance")?,
            at_us,
        };
        seed_wallets(&shop.database, &shop.features.ids, seed).await?;
    }
    if fill.products > 0 {
        let seed = ProductSeed {
            count: fill.products,
            stock: fill.stock,
            price: fill.price,
            at_us,
        };
        seed_products(&shop.database, &shop.features.ids, seed).await?;
    }
    if fill.coupons > 0 {
        let seed = CouponSeed {
            coupons: fill.coupons,
            quota: Quota::try_from(fill.quota)
                .map_err(anyhow::Error::msg)
                .context("quota")?,
            discount: Discount::try_from(fill.discount)
                .map_err(anyhow::Error::msg)
                .context("discount")?,
            issue_mode: coupons::issue_mode(&shop.config),
            now,
            open_for: OPEN_FOR,
        };
        seed_coupons(&shop.database, &seed).await?;
    }
    Ok(())
}
