//! Joins that wait at the same time are admitted together: one transaction, or one script call a campaign, whatever their number.
//! One alone waits for nobody. A task of its own owns each batch, so a client that goes away changes nothing; it ends when the
//! queue is dropped. How a batch is admitted is the engine's affair: both coupon queues use this.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use commerce::coupon::queue::{Error, Joined};
use commerce::ids::{CouponId, UserId};
use commerce::pace::Pace;
use tokio::sync::{mpsc, oneshot};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Joins admitted together at most.
    pub batch_max: usize,
    /// Joins that may wait for the next batch; more wait outside.
    pub waiting_max: usize,
    /// How long a join waits for company at most, while others are being admitted.
    pub gather_max_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_max: 512,
            waiting_max: 8_192,
            gather_max_ms: 5,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Join {
    pub coupon: CouponId,
    pub user: UserId,
    /// The shop's clock, in microseconds: what the claim window is judged by.
    pub now_us: i64,
}

#[async_trait]
pub trait Admit: Send + Sync + 'static {
    /// One answer a join, in the order given, which is the order of arrival.
    async fn admit(&self, joins: &[Join]) -> Vec<Result<Joined, Error>>;
}

type Reply = oneshot::Sender<Result<Joined, Error>>;

pub struct Joining(mpsc::Sender<(Join, Reply)>);

impl Joining {
    /// Must be called within a tokio runtime: it starts the task.
    #[must_use]
    pub fn start(settings: &Settings, engine: impl Admit) -> Self {
        let (joins, waiting) = mpsc::channel(settings.waiting_max.max(1));
        tokio::spawn(run(engine, settings.clone(), waiting));
        Self(joins)
    }

    /// # Errors
    /// The engine's.
    pub async fn join(&self, join: Join) -> Result<Joined, Error> {
        let (reply, answered) = oneshot::channel();
        let closed = || Error::Unavailable("the coupon queue is shutting down".into());
        self.0.send((join, reply)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

async fn run(engine: impl Admit, settings: Settings, mut waiting: mpsc::Receiver<(Join, Reply)>) {
    let batch_max = settings.batch_max.max(1);
    let pace = Pace::new(Duration::from_millis(settings.gather_max_ms));
    let mut batch = Vec::with_capacity(batch_max);
    while pace.gather(&mut waiting, &mut batch, batch_max).await {
        let under_way = pace.begin(batch.len());
        let (joins, replies): (Vec<Join>, Vec<Reply>) = batch.drain(..).unzip();
        metrics::histogram!("madang_coupon_join_batch_size").record(joins.len() as f64);
        let answers = engine.admit(&joins).await;
        drop(under_way);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Nobody waits any more: the place stands all the same.
            let _ = reply.send(answer);
        }
    }
}

/// Indices among the joins by campaign, each in order of arrival.
pub fn by_coupon(joins: &[Join]) -> BTreeMap<CouponId, Vec<usize>> {
    let mut by_coupon: BTreeMap<CouponId, Vec<usize>> = BTreeMap::new();
    for (i, join) in joins.iter().enumerate() {
        by_coupon.entry(join.coupon).or_default().push(i);
    }
    by_coupon
}
