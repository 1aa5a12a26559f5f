//! Orders: spread over products or all for one, of one line or several, with or without keys, some to be refused.
//! As many orders must be stored as were answered with 201, and the shop must audit clean.

use anyhow::{Result, ensure};
use clap::Args;

use super::contest::{Proof, Work, contest};
use super::traffic::{ORDER, Orders, REFUSED};
use crate::options::{Drive, Rivalry};
use crate::report::Report;

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub drive: Drive,
    #[command(flatten)]
    rivalry: Rivalry,
    #[command(flatten)]
    shape: Shape,
}

/// What the orders look like.
#[derive(Args, Clone, Copy)]
pub struct Shape {
    #[arg(long, default_value_t = 20_000)]
    pub users: u64,
    #[arg(long, default_value_t = 1_000)]
    pub products: u64,
    /// All orders are for product 1 (with more lines, for it and those after it).
    #[arg(long)]
    pub one_product: bool,
    /// Lines an order, each of another product.
    #[arg(long, default_value_t = 1)]
    pub lines: u64,
    /// Send an Idempotency-Key with each order.
    #[arg(long)]
    pub keys: bool,
    /// So many of a hundred orders are for products that do not exist or of users without money; they count apart.
    #[arg(long = "refused", value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=90))]
    pub refused_percent: u8,
}

impl Shape {
    pub fn orders(&self) -> Result<Orders> {
        ensure!(self.users >= 1, "--users must be at least 1");
        ensure!(
            self.lines >= 1 && self.lines <= self.products.min(100),
            "--lines must be from 1 to 100 and not more than --products"
        );
        Ok(Orders {
            users: self.users,
            products: self.products,
            lines: self.lines,
            one_product: self.one_product,
            keys: self.keys,
            refused_percent: self.refused_percent,
        })
    }
}

pub async fn run(options: &Options) -> Result<Report> {
    let orders = options.shape.orders()?;
    contest(&work(orders), &options.drive, &options.rivalry).await
}

pub fn work(orders: Orders) -> Work {
    let mut kinds = vec![ORDER];
    if orders.refused_percent > 0 {
        kinds.push(REFUSED);
    }
    Work {
        name: orders.name(),
        kinds,
        first_only: true,
        seed: orders.seed(),
        traffic: Box::new(move |_, _| orders.next()),
        first: None,
        proofs: vec![Proof::Orders],
    }
}
