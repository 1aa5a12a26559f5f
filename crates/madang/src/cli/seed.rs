//! `madang seed`: fills the shop with numbered users, products and campaigns. Safe to repeat.

use std::io::Write;

use crate::config::Config;
use crate::shop::{self, Fill, Shop};

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=10_000_000))]
    users: i64,
    /// Of each user.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    balance: i64,
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=10_000_000))]
    products: i64,
    /// Of each product.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    stock: i64,
    /// Of each product.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    price: i64,
    /// Campaigns, open for 30 days.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=100_000))]
    coupons: i64,
    /// Coupons of each campaign.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    quota: i64,
    /// What each coupon takes off.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    discount: i64,
}

pub async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let shop = Shop::open(config).await?;
    shop::migrate(&shop).await?;
    let fill = Fill {
        first_user: 1,
        users: args.users,
        balance: args.balance,
        products: args.products,
        stock: args.stock,
        price: args.price,
        coupons: args.coupons,
        quota: args.quota,
        discount: args.discount,
    };
    shop::fill(&shop, &fill).await?;
    let filled = [
        ("users", args.users),
        ("products", args.products),
        ("coupons", args.coupons),
    ]
    .map(|(what, count)| match count {
        0 => format!("no {what}"),
        1 => format!("{what} 1"),
        _ => format!("{what} 1..{count}"),
    });
    writeln!(std::io::stdout(), "seeded {}", filled.join(", "))?;
    Ok(())
}
