//! What a shop sees in a day at once: orders, joins, status polls and reads at a ratio.
//! Polls are of people who joined before, so that none is asked for who is not in the queue yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use clap::Args;

use super::contest::{First, Proof, Work, contest};
use super::traffic::{
    JOIN, ORDER, Orders, POLL, POPULAR, PRODUCT, join, joins, poll, popular, product,
};
use crate::load::Next;
use crate::options::{Drive, Rivalry};
use crate::report::Report;
use crate::stage::Seed;

/// Users who joined the first campaign before the load.
const PEOPLE: u64 = 5_000;
const QUOTA: u64 = 100_000_000;
/// Between the first users of two loads.
const APART: u64 = 100_000_000;
/// One of so many reads is of the popular list.
const READS_A_LIST: u32 = 5;

#[derive(Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub drive: Drive,
    #[command(flatten)]
    rivalry: Rivalry,
    #[command(flatten)]
    share: Share,
}

/// Of all requests, as weights.
#[derive(Args, Clone, Copy)]
pub struct Share {
    #[arg(long, value_name = "WEIGHT", default_value_t = 20)]
    orders: u32,
    #[arg(long, value_name = "WEIGHT", default_value_t = 10)]
    joins: u32,
    #[arg(long, value_name = "WEIGHT", default_value_t = 20)]
    polls: u32,
    /// Product pages, and one popular list to each four of them.
    #[arg(long, value_name = "WEIGHT", default_value_t = 50)]
    reads: u32,
}

impl Share {
    fn sum(&self) -> u32 {
        self.orders
            .saturating_add(self.joins)
            .saturating_add(self.polls)
            .saturating_add(self.reads)
    }

    /// The index of the kind that this number below the sum falls on; `read` says which read it is.
    fn kind(&self, number: u32, read: u32) -> usize {
        if number < self.orders {
            0
        } else if number < self.orders + self.joins {
            1
        } else if number < self.orders + self.joins + self.polls {
            2
        } else {
            3 + usize::from(read == 0)
        }
    }
}

pub async fn run(options: &Options) -> Result<Report> {
    let work = work(options.share, options.drive.runs)?;
    contest(&work, &options.drive, &options.rivalry).await
}

/// Campaign 1 is of the people who joined before, each load has one of its own after it.
pub fn work(share: Share, runs: usize) -> Result<Work> {
    ensure!(
        (1..=1_000_000).contains(&share.sum()),
        "the weights of orders, joins, polls and reads must add up to 1 to 1000000"
    );
    let orders = Orders::plain(20_000, 1_000);
    let loads = AtomicU64::new(1);
    Ok(Work {
        name: format!(
            "mixed: orders {}, joins {}, polls {}, reads {}",
            share.orders, share.joins, share.polls, share.reads
        ),
        kinds: vec![ORDER, JOIN, POLL, PRODUCT, POPULAR],
        first_only: false,
        seed: Seed {
            coupons: runs as u64 + 2,
            quota: QUOTA,
            ..orders.seed()
        },
        first: Some(First {
            requests: PEOPLE,
            traffic: Box::new(|| {
                let join = joins(1, Arc::new(AtomicU64::new(1)));
                Arc::new(move |request| {
                    join(request);
                    1
                })
            }),
        }),
        traffic: Box::new(move |run, _| {
            let first = loads.fetch_add(1, Ordering::Relaxed) * APART;
            requests(share, orders, run as u64 + 2, first)
        }),
        proofs: vec![Proof::Orders, Proof::Coupons { quota: QUOTA }],
    })
}

fn requests(share: Share, orders: Orders, coupon: u64, first: u64) -> Next {
    let user = AtomicU64::new(first);
    let serial = AtomicU64::new(0);
    let sum = share.sum();
    Arc::new(move |request| {
        let kind = share.kind(fastrand::u32(..sum), fastrand::u32(..READS_A_LIST));
        match kind {
            0 => orders.write(request, &serial, false),
            1 => join(request, coupon, user.fetch_add(1, Ordering::Relaxed)),
            2 => poll(request, 1, fastrand::u64(1..=PEOPLE)),
            3 => product(request, orders.products),
            _ => popular(request),
        }
        kind
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept() {
        let share = Share {
            orders: 2,
            joins: 0,
            polls: 1,
            reads: 2,
        };
        let kinds: Vec<usize> = (0..5).map(|number| share.kind(number, 1)).collect();
        assert_eq!(kinds, [0, 0, 2, 3, 3]);
        assert_eq!(share.kind(4, 0), 4);
        let nothing = Share {
            orders: 0,
            joins: 0,
            polls: 0,
            reads: 0,
        };
        assert!(work(nothing, 1).is_err());
    }
}
