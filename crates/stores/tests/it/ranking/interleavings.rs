//! A rebuild while events keep coming: sales, cancels, deliveries (late, repeated, out of order) and the rebuild's steps in any
//! order. Whatever the order, a board that exists in the end equals the recount once everything has been delivered.

use std::collections::BTreeMap;

use commerce::ranking::ports::{Board, Counted, Shadow};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::stage::{Stage, counted, day, listed, own};

#[derive(Clone, Debug)]
enum Step {
    Sell {
        product: i64,
        quantity: i64,
    },
    Cancel {
        of: usize,
    },
    Deliver {
        event: usize,
    },
    Open,
    /// Takes the snapshot, if it is not taken yet, or feeds a page of it.
    Feed {
        page: usize,
    },
    Flip,
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_i64..5, 1_i64..4).prop_map(|(product, quantity)| Step::Sell { product, quantity }),
        2 => (0_usize..40).prop_map(|of| Step::Cancel { of }),
        6 => (0_usize..60).prop_map(|event| Step::Deliver { event }),
        2 => Just(Step::Open),
        4 => (1_usize..6).prop_map(|page| Step::Feed { page }),
        1 => Just(Step::Flip),
        1 => Just(Step::Lose),
    ];
    vec(step, 1..60)
}

/// The shop beside the board: what was committed, and where the rebuild stands.
#[derive(Default)]
struct Shop {
    events: Vec<Counted>,
    cancelled: Vec<usize>,
    rebuild: Option<(Shadow, Option<Vec<Counted>>)>,
}

impl Shop {
    fn sell(&mut self, product: i64, quantity: i64) {
        let seq = self.events.len() as i64;
        self.events.push(counted(seq, product, quantity));
    }

    fn cancel(&mut self, of: usize) {
        let sale = self.events.get(of).copied();
        if let Some(sale) = sale.filter(|s| s.quantity > 0 && !self.cancelled.contains(&of)) {
            self.cancelled.push(of);
            self.sell(sale.product.get(), -sale.quantity);
        }
    }

    async fn deliver(&self, board: &dyn Board, event: usize) {
        if let Some(event) = self.events.get(event) {
            let seq = event.seq.unwrap();
            let entry = own(seq, day(22), event.product.get(), event.quantity);
            // `Missing` is fine: there is no board, and its rebuild will count the event.
            board.apply(&[entry], None).await.unwrap();
        }
    }

    async fn feed(&mut self, board: &dyn Board, page: usize) {
        let events = self.events.clone();
        if let Some((shadow, snapshot)) = &mut self.rebuild {
            let left = snapshot.get_or_insert(events);
            let some: Vec<_> = left.drain(..page.min(left.len())).collect();
            board.feed(shadow, &some).await.unwrap();
        }
    }

    /// Flips if the whole snapshot is fed.
    async fn flip(&mut self, board: &dyn Board) {
        if let Some((shadow, Some(left))) = &self.rebuild
            && left.is_empty()
        {
            board.flip(shadow.clone()).await.unwrap();
            self.rebuild = None;
        }
    }

    fn recount(&self) -> Vec<(i64, i64, i64)> {
        let mut sums = BTreeMap::new();
        for event in &self.events {
            *sums.entry(event.product.get()).or_insert(0) += event.quantity;
        }
        let mut sums: Vec<_> = sums.into_iter().filter(|(_, sum)| *sum > 0).collect();
        sums.sort_by_key(|(product, sum)| (-sum, *product));
        sums.into_iter()
            .map(|(product, sum)| (product, sum, sum * 100))
            .collect()
    }
}

async fn play(stage: &Stage, steps: &[Step]) -> (Vec<(i64, i64, i64)>, Vec<(i64, i64, i64)>) {
    stage.wipe().await;
    let board = stage.board();
    let mut shop = Shop::default();
    for step in steps {
        match step {
            Step::Sell { product, quantity } => shop.sell(*product, *quantity),
            Step::Cancel { of } => shop.cancel(*of),
            Step::Deliver { event } => shop.deliver(&*board, *event).await,
            Step::Open if shop.rebuild.is_none() => {
                let shadow = board.open(day(22)).await.unwrap();
                shop.rebuild = shadow.map(|s| (s, None));
            }
            Step::Open => {}
            Step::Feed { page } => shop.feed(&*board, *page).await,
            Step::Flip => shop.flip(&*board).await,
            Step::Lose if shop.rebuild.is_none() => stage.wipe().await,
            Step::Lose => {}
        }
    }
    // The rebuild in hand comes to its end, one is made where there is no board, and everything is delivered once more.
    shop.feed(&*board, usize::MAX).await;
    shop.flip(&*board).await;
    if board.known(&[day(22)]).await.unwrap().is_empty() {
        let shadow = board.open(day(22)).await.unwrap().unwrap();
        shop.rebuild = Some((shadow, None));
        shop.feed(&*board, usize::MAX).await;
        shop.flip(&*board).await;
    }
    for event in 0..shop.events.len() {
        shop.deliver(&*board, event).await;
    }
    (listed(&*board, &[day(22)]).await, shop.recount())
}

fn any_interleaving(stage: Option<Stage>, runtime: &tokio::runtime::Runtime, cases: u32) {
    let Some(stage) = stage else { return };
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let (found, expected) = runtime.block_on(play(&stage, &steps));
            prop_assert_eq!(found, expected);
            Ok(())
        })
        .unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn any_interleaving_ends_in_the_recount_embedded() {
    let runtime = runtime();
    let stage = runtime.block_on(Stage::embedded());
    any_interleaving(Some(stage), &runtime, 24);
}

#[test]
fn any_interleaving_ends_in_the_recount_redis() {
    let runtime = runtime();
    let stage = runtime.block_on(Stage::redis());
    // `Redis` is made within a runtime.
    let _inside = runtime.enter();
    any_interleaving(stage, &runtime, 128);
}
