//! Group commit: orders that wait at the same time are decided in turn and committed together; `pace` says when. An order alone
//! waits for nobody. A task of its own owns each batch, so a client that goes away changes nothing; it ends with the process, and what was
//! not committed then was not answered either. `Orders` hands orders in.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::decide::decide;
use super::follow_ups::Outlet;
use super::model::{EventNumbers, Numbers, Pending, PlaceOrder};
use super::store::{Batch, Placed, Store, Turnstile};
use super::{Settings, http};
use crate::answer::{Answered, Claim, StoreError};
use crate::ids::{Allocator, Exhausted, LineId, OrderId, Series};
use crate::pace::Pace;

/// An order in the queue, and where its answer goes.
pub(super) struct Waiting {
    pub place: PlaceOrder,
    pub claim: Option<Claim>,
    pub answer: Reply,
}

pub(super) type Reply = oneshot::Sender<Result<Answered, StoreError>>;

/// What a batch needs.
pub(super) struct Committer {
    pub store: Arc<dyn Store>,
    pub ids: Arc<Allocator>,
    pub outlet: Arc<Outlet>,
    pub settings: Settings,
}

/// Takes what waits, whenever a batch may start, until the queue's other end is gone. Numbers are taken here and not by the
/// batch: batches that are in flight together would take them in any order, while ids are to follow the order of arrival.
pub(super) async fn gather(mut queue: mpsc::Receiver<Waiting>, committer: Arc<Committer>) {
    let batches = Arc::new(Semaphore::new(committer.settings.batches_in_flight.max(1)));
    let Settings {
        gather_max_ms,
        batch_interval_ms,
        ..
    } = committer.settings;
    let pace = Pace::new(
        Duration::from_millis(gather_max_ms),
        Duration::from_millis(batch_interval_ms),
    );
    let batch_max = committer.settings.batch_max.max(1);
    let before_commit = committer.settings.batches_before_commit.max(1);
    let before_commit = Arc::new(Semaphore::new(before_commit));
    while let Ok(permit) = batches.clone().acquire_owned().await
        && let Ok(turn) = before_commit.clone().acquire_owned().await
    {
        let mut batch = Vec::new();
        if !pace.gather(&mut queue, &mut batch, batch_max).await {
            return;
        }
        let under_way = pace.begin(batch.len());
        let started = Instant::now();
        metrics::histogram!("madang_order_batch_orders").record(batch.len() as f64);
        let Some((pending, replies)) = committer.numbered(batch).await else {
            continue;
        };
        let committer = committer.clone();
        tokio::spawn(async move {
            committer
                .bisect(pending, replies, Turnstile::new(turn))
                .await;
            metrics::histogram!("madang_order_batch_seconds")
                .record(started.elapsed().as_secs_f64());
            drop((under_way, permit));
        });
    }
}

impl Committer {
    /// The batch with its numbers; `None` when there are none to be had, which its clients are told.
    async fn numbered(&self, batch: Vec<Waiting>) -> Option<(Vec<Pending>, Vec<Option<Reply>>)> {
        match self.numbers(&batch).await {
            Ok(numbers) => {
                let orders = batch.into_iter().zip(numbers);
                let numbered = |(waiting, numbers): (Waiting, Numbers)| {
                    let pending = Pending {
                        place: waiting.place,
                        numbers,
                        claim: waiting.claim,
                    };
                    (pending, Some(waiting.answer))
                };
                Some(orders.map(numbered).unzip())
            }
            Err(error) => {
                tracing::warn!(%error, orders = batch.len(), "no numbers for a batch of orders");
                for waiting in batch {
                    drop(waiting.claim);
                    let unavailable = StoreError::Unavailable(error.to_string());
                    let _ = waiting.answer.send(Err(unavailable));
                }
                None
            }
        }
    }

    /// Places the orders in one transaction. An unexpected error halves them, in order of arrival, until the one at fault
    /// stands alone.
    async fn bisect(
        &self,
        mut pending: Vec<Pending>,
        mut replies: Vec<Option<Reply>>,
        turnstile: Turnstile,
    ) {
        let mut parts: Vec<Range<usize>> = Vec::new();
        parts.push(0..pending.len());
        while let Some(part) = parts.pop() {
            let answers = match self.place(&pending[part.clone()], &turnstile).await {
                Ok(placed) => self.follow_up(placed).await,
                Err(StoreError::Failed(cause)) if part.len() > 1 => {
                    tracing::warn!(%cause, orders = part.len(), "a batch of orders failed: halving it");
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, orders = part.len(), "orders could not be placed");
                    count("failed", part.len());
                    vec![Err(error); part.len()]
                }
            };
            for (index, answer) in part.zip(answers) {
                // Before the answer is out: a repeat that follows it must not find its own key in flight.
                pending[index].claim = None;
                if let Some(reply) = replies[index].take() {
                    // Nobody waits any more: the order stands all the same.
                    let _ = reply.send(answer);
                }
            }
        }
    }

    async fn place(
        &self,
        orders: &[Pending],
        turnstile: &Turnstile,
    ) -> Result<Vec<Placed>, StoreError> {
        let batch = Batch {
            orders,
            decide,
            render: http::place_answer,
            outlet: &self.outlet,
            turnstile,
        };
        let limit = Duration::from_millis(self.settings.batch_timeout_ms);
        let placed = tokio::time::timeout(limit, self.store.place(batch))
            .await
            .map_err(|_| StoreError::OutcomeUnknown(format!("no answer for {limit:?}")))??;
        if placed.len() != orders.len() {
            return Err(StoreError::Failed("answers do not match orders".into()));
        }
        Ok(placed)
    }

    /// After the commit: what is left to do inside the requests, then the answers.
    async fn follow_up(&self, placed: Vec<Placed>) -> Vec<Result<Answered, StoreError>> {
        let mut answers = Vec::with_capacity(placed.len());
        for one in placed {
            match &one.decision {
                Some(Ok(placement)) => {
                    self.outlet.after_commit(&placement.turn).await;
                    count("placed", 1);
                }
                Some(Err(refusal)) => {
                    count("refused", 1);
                    metrics::counter!("madang_order_refusals_total", "code" => refusal.code())
                        .increment(1);
                }
                None => count("repeated", 1),
            }
            answers.push(Ok(one.answered));
        }
        answers
    }

    /// Numbers for every order, refused or not: they are taken before anybody knows.
    async fn numbers(&self, batch: &[Waiting]) -> Result<Vec<Numbers>, Exhausted> {
        let orders = batch.len();
        let lines = |w: &Waiting| w.place.lines.as_slice().len();
        let products = |w: &Waiting| w.place.lines.products().len();
        let ids = &self.ids;
        let order_ids = ids.take(Series::Order, orders).await?;
        let all_lines = batch.iter().map(lines).sum();
        let mut line_ids = ids.take(Series::Line, all_lines).await?.into_iter();
        let payments = ids.take(Series::WalletEntry, orders).await?;
        let completed = ids.take(Series::OrderCompletedEvent, orders).await?;
        let data_platform = ids.take(Series::DataPlatformEvent, orders).await?;
        let all_products = batch.iter().map(products).sum();
        let ranking = ids.take(Series::ProductRankingEvent, all_products).await?;
        let mut ranking = ranking.into_iter();
        let numbers = batch.iter().enumerate().map(|(i, waiting)| {
            let lines = line_ids.by_ref().take(lines(waiting));
            Ok(Numbers {
                order: OrderId::try_from(order_ids[i])?,
                lines: lines.map(LineId::try_from).collect::<Result<_, _>>()?,
                payment: payments[i],
                events: EventNumbers {
                    completed: completed[i],
                    data_platform: data_platform[i],
                    ranking: ranking.by_ref().take(products(waiting)).collect(),
                },
            })
        });
        numbers
            .collect::<Result<_, String>>()
            .map_err(|cause| Exhausted {
                series: Series::Order,
                cause,
            })
    }
}

fn count(outcome: &'static str, orders: usize) {
    metrics::counter!("madang_orders_total", "outcome" => outcome).increment(orders as u64);
}
