//! Boards held against their recounts where a recount takes longer than a lease.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::ids::ProductId;
use commerce::ranking::days::Span;
use commerce::ranking::model::{Place, Standing};
use commerce::ranking::ports::{Counted, SalesHistory, Snapshot};
use stores::audit::{self, Boards, Outside, Still};
use stores::sql::ranking::SqlSalesHistory;

use super::service::{service_with, ten_orders};
use super::stage::{Stage, day, on_boards};

on_boards!(recounts_are_kept_while_others_take_longer_than_a_lease);

const LEASE_MS: u64 = 3_000;
/// What each page of today takes: less than a lease, and all of them more.
const PAGE: Duration = Duration::from_millis(LEASE_MS / 3);

/// A database that gives the days from `slow_from_us` on page by page, slowly.
struct SlowHistory {
    history: SqlSalesHistory,
    slow_from_us: i64,
}

struct SlowSnapshot {
    snapshot: Box<dyn Snapshot>,
    slow: bool,
}

#[async_trait]
impl SalesHistory for SlowHistory {
    async fn snapshot(&self, span: Span) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(SlowSnapshot {
            snapshot: self.history.snapshot(span).await?,
            slow: span.start_us >= self.slow_from_us,
        }))
    }

    async fn top(&self, span: Span, n: usize) -> Result<Vec<Standing>, StoreError> {
        self.history.top(span, n).await
    }

    async fn rank(&self, span: Span, product: ProductId) -> Result<Place, StoreError> {
        self.history.rank(span, product).await
    }
}

#[async_trait]
impl Snapshot for SlowSnapshot {
    async fn page(&mut self, orders_max: u32) -> Result<Vec<Counted>, StoreError> {
        if self.slow {
            tokio::time::sleep(PAGE).await;
        }
        self.snapshot.page(orders_max).await
    }
}

/// About 6 s.
async fn recounts_are_kept_while_others_take_longer_than_a_lease(stage: &Stage) {
    let board = stage.board_with_lease(LEASE_MS);
    let history = SqlSalesHistory::new(stage.db.clone());
    ten_orders(stage).await;
    let quick = service_with(board.clone(), Arc::new(history.clone()));
    quick.rebuild_all().await.unwrap();
    let days = quick.known_days().await.unwrap();
    // Those before it are what has to be kept.
    assert_eq!(days.iter().position(|it| *it == day(22)), Some(35));

    let slow_from_us = quick.calendar().span(day(22)).start_us;
    let rankings = service_with(
        board,
        Arc::new(SlowHistory {
            history,
            slow_from_us,
        }),
    );
    let outside = Outside {
        boards: Some(Boards {
            rankings: &rankings,
            arrival: &Still,
        }),
        ..Outside::default()
    };
    let settings = audit::Settings {
        keep_every_ms: LEASE_MS / 6,
        ..audit::Settings::default()
    };
    let report = audit::run(&stage.db, &outside, &settings).await.unwrap();
    assert!(report.boards_checked);
    let check = report.checks.iter().find(|it| it.name == "ranking boards");
    let check = check.unwrap();
    assert_eq!((check.differences, check.examined), (0, 4));
}
