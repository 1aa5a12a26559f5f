//! Status polls of people who joined a campaign and have their result, each of a random one.
//! Who never joined would be told so with a 404, which is another answer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Result, ensure};
use clap::Args;

use super::contest::{First, Proof, Work, contest};
use super::traffic::{JOIN, POLL, PRICE, joins, poll};
use crate::options::{Drive, Rivalry};
use crate::report::Report;
use crate::stage::Seed;

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub drive: Drive,
    #[command(flatten)]
    rivalry: Rivalry,
    /// Who joined before.
    #[arg(long, default_value_t = 20_000)]
    people: u64,
}

pub async fn run(options: &Options) -> Result<Report> {
    let people = options.people;
    ensure!(people >= 1, "--people must be at least 1");
    let work = Work {
        name: format!("status polls of {people} people who joined"),
        kinds: vec![POLL, JOIN],
        first_only: true,
        seed: Seed {
            users: 1,
            products: 1,
            stock: 1,
            price: PRICE,
            balance: 1,
            coupons: 1,
            quota: people,
        },
        first: Some(First {
            requests: people,
            traffic: Box::new(|| {
                let join = joins(1, Arc::new(AtomicU64::new(1)));
                Arc::new(move |request| {
                    join(request);
                    1
                })
            }),
        }),
        traffic: Box::new(move |_, _| {
            Arc::new(move |request| {
                poll(request, 1, fastrand::u64(1..=people));
                0
            })
        }),
        proofs: vec![Proof::Coupons { quota: people }],
    };
    contest(&work, &options.drive, &options.rivalry).await
}
