//! Reads: product pages and the popular list, mixed. Some orders come first, so that there is something to rank.

use anyhow::{Result, ensure};
use clap::Args;

use super::contest::{First, Work, contest};
use super::traffic::{ORDER, Orders, POPULAR, PRODUCT, popular, product};
use crate::options::{Drive, Rivalry};
use crate::report::Report;

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub drive: Drive,
    #[command(flatten)]
    rivalry: Rivalry,
    #[arg(long, default_value_t = 1_000)]
    products: u64,
    /// So many of a hundred reads are of the popular list, the rest are product pages.
    #[arg(long = "popular", value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100))]
    popular_percent: u8,
    /// Orders placed before.
    #[arg(long, default_value_t = 2_000)]
    orders: u64,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(options.products >= 1, "--products must be at least 1");
    let orders = Orders::plain(1_000, options.products);
    let (products, percent) = (options.products, options.popular_percent);
    let work = Work {
        name: format!("reads, {percent} % popular lists, the rest pages of {products} products"),
        kinds: vec![PRODUCT, POPULAR, ORDER],
        first_only: false,
        seed: orders.seed(),
        first: Some(First {
            requests: options.orders,
            traffic: Box::new(move || {
                let place = orders.next();
                std::sync::Arc::new(move |request| {
                    place(request);
                    2
                })
            }),
        }),
        traffic: Box::new(move |_, _| {
            std::sync::Arc::new(move |request| {
                let list = fastrand::u8(..100) < percent;
                if list {
                    popular(request);
                } else {
                    product(request, products);
                }
                usize::from(list)
            })
        }),
        proofs: Vec::new(),
    };
    contest(&work, &options.drive, &options.rivalry).await
}
