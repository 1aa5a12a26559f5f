//! Boards held against their recounts where recounting, or what is on its way, takes longer than a lease.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::ids::ProductId;
use commerce::ranking::days::Span;
use commerce::ranking::model::{Place, Standing};
use commerce::ranking::ports::{Counted, SalesHistory, Snapshot};
use sea_orm::TransactionTrait;
use stores::audit::{self, Arrival, Boards, Outside, Still};
use stores::sql::Database;
use stores::sql::ranking::SqlSalesHistory;

use super::service::{service_with, ten_orders};
use super::stage::{Stage, day, on_boards};

on_boards!(
    recounts_are_kept_while_others_take_longer_than_a_lease,
    recounts_are_kept_while_many_short_ones_follow,
    recounts_are_kept_while_what_is_awaited_writes,
);

const LEASE_MS: u64 = 3_000;
const LEASE: Duration = Duration::from_millis(LEASE_MS);

/// A database that gives each page of the days from `slow_from_us` on after so long.
struct SlowHistory {
    history: SqlSalesHistory,
    slow_from_us: i64,
    page: Duration,
}

struct SlowSnapshot {
    snapshot: Box<dyn Snapshot>,
    page: Duration,
}

#[async_trait]
impl SalesHistory for SlowHistory {
    async fn snapshot(&self, span: Span) -> Result<Box<dyn Snapshot>, StoreError> {
        let slow = span.start_us >= self.slow_from_us;
        Ok(Box::new(SlowSnapshot {
            snapshot: self.history.snapshot(span).await?,
            page: if slow { self.page } else { Duration::ZERO },
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
        tokio::time::sleep(self.page).await;
        self.snapshot.page(orders_max).await
    }
}

/// What is on its way is being written: nobody else of this process writes to the database until it has come.
struct Writing(Database);

#[async_trait]
impl Arrival for Writing {
    async fn on_boards(&self) -> bool {
        let writing = self.0.writer().begin().await.unwrap();
        tokio::time::sleep(LEASE / 2).await;
        writing.commit().await.unwrap();
        true
    }
}

/// About 6 s.
async fn recounts_are_kept_while_others_take_longer_than_a_lease(stage: &Stage) {
    let slow = |history, slow_from_us| SlowHistory {
        history,
        slow_from_us,
        // Less than a lease, and all pages of a day more.
        page: LEASE / 3,
    };
    agrees(stage, slow, &Still, LEASE_MS / 6).await;
}

/// Each recount ends before leases are due, and all of them together take longer than a lease. About 4 s.
async fn recounts_are_kept_while_many_short_ones_follow(stage: &Stage) {
    let slow = |history, _| SlowHistory {
        history,
        slow_from_us: i64::MIN,
        page: LEASE / 30,
    };
    agrees(stage, slow, &Still, LEASE_MS / 3).await;
}

/// Leases fall due in the middle of the writing.
async fn recounts_are_kept_while_what_is_awaited_writes(stage: &Stage) {
    let slow = |history, slow_from_us| SlowHistory {
        history,
        slow_from_us,
        page: Duration::ZERO,
    };
    agrees(stage, slow, &Writing(stage.db.clone()), LEASE_MS / 12).await;
}

/// The audit finds all boards equal with a history that is made `slow`; it is told when the day of the orders starts.
async fn agrees(
    stage: &Stage,
    slow: impl FnOnce(SqlSalesHistory, i64) -> SlowHistory,
    arrival: &dyn Arrival,
    keep_every_ms: u64,
) {
    let board = stage.board_with_lease(LEASE_MS);
    let history = SqlSalesHistory::new(stage.db.clone());
    ten_orders(stage).await;
    let quick = service_with(board.clone(), Arc::new(history.clone()));
    quick.rebuild_all().await.unwrap();
    let days = quick.known_days().await.unwrap();
    // Those before it are what has to be kept.
    assert_eq!(days.iter().position(|it| *it == day(22)), Some(35));

    let today_us = quick.calendar().span(day(22)).start_us;
    let rankings = service_with(board, Arc::new(slow(history, today_us)));
    let outside = Outside {
        boards: Some(Boards {
            rankings: &rankings,
            arrival,
        }),
        ..Outside::default()
    };
    let settings = audit::Settings {
        keep_every_ms,
        ..audit::Settings::default()
    };
    let report = audit::run(&stage.db, &outside, &settings).await.unwrap();
    assert!(report.boards_checked);
    let check = report.checks.iter().find(|it| it.name == "ranking boards");
    let check = check.unwrap();
    assert_eq!((check.differences, check.examined), (0, 4));
}
