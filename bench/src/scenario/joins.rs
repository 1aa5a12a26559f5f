//! Joins of a coupon's first-come queue, every shopper once, a campaign of its own for each run.
//! As many coupons must be issued as joins were accepted, but no more than the quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use clap::Args;

use super::contest::{Proof, Work, contest};
use super::traffic::{JOIN, PRICE, joins};
use crate::options::{Drive, Rivalry};
use crate::report::Report;
use crate::stage::Seed;

/// Between the first users of two runs.
const APART: u64 = 100_000_000;

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub drive: Drive,
    #[command(flatten)]
    rivalry: Rivalry,
    /// Coupons of each campaign; more than will be asked for, or what is sold out counts as another answer.
    #[arg(long, default_value_t = 10_000_000)]
    quota: u64,
}

pub async fn run(options: &Options) -> Result<Report> {
    ensure!(options.quota >= 1, "--quota must be at least 1");
    // A shop that is given may have been asked by the same users before.
    let given = options.drive.url.is_some() || options.rivalry.against.is_some();
    let first = if given {
        fastrand::u64(1..1_000_000) * 10 * APART
    } else {
        1
    };
    let work = work(options.drive.runs, options.quota, first);
    contest(&work, &options.drive, &options.rivalry).await
}

/// Users of one run are apart from those of the next, and so are its campaigns.
pub fn work(runs: usize, quota: u64, first: u64) -> Work {
    let seed = Seed {
        users: 1,
        products: 1,
        stock: 1,
        price: PRICE,
        balance: 1,
        coupons: runs as u64 + 1,
        quota,
    };
    let turns = AtomicU64::new(0);
    Work {
        name: "joins of a first-come coupon".to_owned(),
        kinds: vec![JOIN],
        first_only: true,
        seed,
        traffic: Box::new(move |run, _| {
            let first = turns.fetch_add(1, Ordering::Relaxed) * APART + first;
            joins(run as u64 + 1, Arc::new(AtomicU64::new(first)))
        }),
        first: None,
        proofs: vec![Proof::Coupons { quota }],
    }
}
