//! Requests that wait at the same time are carried out together, with one answer each: one call of a store, whatever their number.
//! One alone waits for nobody. A task of its own owns each batch, so a client that goes away changes nothing; it ends when
//! `Together` is dropped. How a batch is carried out is its `Carry`'s affair. Joins of coupons and polls of places use it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::pace::Pace;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Requests carried out together at most.
    pub batch_max: usize,
    /// Requests that may wait for the next batch; more wait outside.
    pub waiting_max: usize,
    /// How long a request waits for company at most, while others are being carried out.
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

#[async_trait]
pub trait Carry: Send + Sync + 'static {
    type Request: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// One answer a request, in the order given, which is the order of arrival.
    async fn carry(&self, requests: &[Self::Request]) -> Vec<Self::Answer>;
}

/// The task that carries requests out is gone: the process is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shutting down")]
pub struct Gone;

type Waiting<C> = (<C as Carry>::Request, oneshot::Sender<<C as Carry>::Answer>);

pub struct Together<C: Carry>(mpsc::Sender<Waiting<C>>);

impl<C: Carry> Together<C> {
    /// Must be called within a tokio runtime: it starts the task. `sizes`: the histogram that batches are counted in.
    #[must_use]
    pub fn start(settings: &Settings, sizes: &'static str, carry: C) -> Self {
        let (requests, waiting) = mpsc::channel(settings.waiting_max.max(1));
        tokio::spawn(run(carry, settings.clone(), sizes, waiting));
        Self(requests)
    }

    /// # Errors
    /// When nobody carries requests out any more.
    pub async fn ask(&self, request: C::Request) -> Result<C::Answer, Gone> {
        let (reply, answered) = oneshot::channel();
        self.0.send((request, reply)).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

async fn run<C: Carry>(
    carry: C,
    settings: Settings,
    sizes: &'static str,
    mut waiting: mpsc::Receiver<Waiting<C>>,
) {
    let batch_max = settings.batch_max.max(1);
    let pace = Pace::new(
        Duration::from_millis(settings.gather_max_ms),
        Duration::ZERO,
    );
    let mut batch = Vec::with_capacity(batch_max);
    while pace.gather(&mut waiting, &mut batch, batch_max).await {
        let under_way = pace.begin(batch.len());
        let (requests, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        metrics::histogram!(sizes).record(requests.len() as f64);
        let answers = carry.carry(&requests).await;
        drop(under_way);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Nobody waits any more: what was done is done all the same.
            let _ = reply.send(answer);
        }
    }
}

/// Indices of the items by key, each in order.
pub fn by_key<T, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> BTreeMap<K, Vec<usize>> {
    let mut by_key: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        by_key.entry(key(item)).or_default().push(i);
    }
    by_key
}

/// Carries the items of each key out by themselves, all keys side by side; an answer an item, in the order of the items.
pub async fn in_groups<T, K, A, F>(
    items: &[T],
    key: impl Fn(&T) -> K,
    carry: impl Fn(K, Vec<T>) -> F,
) -> Vec<A>
where
    T: Copy,
    K: Ord,
    F: Future<Output = Vec<A>>,
{
    let groups = by_key(items, key).into_iter().map(|(key, indices)| {
        let answers = carry(key, indices.iter().map(|i| items[*i]).collect());
        async move { indices.into_iter().zip(answers.await) }
    });
    let mut answers: Vec<_> = join_all(groups).await.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(i, _)| *i);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;

    const SETTINGS: Settings = Settings {
        batch_max: 4,
        waiting_max: 100,
        gather_max_ms: 5,
    };

    /// Doubles numbers, a batch for each permit, and remembers the batches.
    struct Doubling {
        permits: Arc<Semaphore>,
        batches: Arc<Mutex<Vec<Vec<u32>>>>,
    }

    #[async_trait]
    impl Carry for Doubling {
        type Request = u32;
        type Answer = u32;

        async fn carry(&self, requests: &[u32]) -> Vec<u32> {
            self.permits.acquire().await.unwrap().forget();
            self.batches.lock().push(requests.to_vec());
            requests.iter().map(|number| number * 2).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_go_together_and_each_gets_its_own_answer() {
        let (permits, batches) = (Arc::new(Semaphore::new(0)), Arc::default());
        let doubling = Doubling {
            permits: Arc::clone(&permits),
            batches: Arc::clone(&batches),
        };
        let together = Together::start(&SETTINGS, "test_sizes", doubling);
        let alone = async {
            assert_eq!(together.ask(1).await, Ok(2));
        };
        let others = async {
            // The first is under way by then, and waits for its permit.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let all = join_all((2..8).map(|number| together.ask(number)));
            let release = async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                permits.add_permits(3);
            };
            let (answers, ()) = tokio::join!(all, release);
            let expected: Vec<_> = (2..8).map(|number| Ok(number * 2)).collect();
            assert_eq!(answers, expected);
        };
        tokio::join!(alone, others);
        assert_eq!(*batches.lock(), [vec![1], vec![2, 3, 4, 5], vec![6, 7]]);
    }

    #[tokio::test]
    async fn who_asks_nobody_is_told() {
        let (permits, batches) = (Arc::new(Semaphore::new(0)), Arc::default());
        permits.close();
        let together = Together::start(&SETTINGS, "test_sizes", Doubling { permits, batches });
        assert_eq!(together.ask(1).await, Err(Gone), "its task has panicked");
        assert_eq!(together.ask(2).await, Err(Gone));
    }

    #[test]
    fn indices_keep_their_order() {
        let by_parity = by_key(&[5, 2, 3, 4], |number| number % 2);
        assert_eq!(by_parity, [(0, vec![1, 3]), (1, vec![0, 2])].into());
    }
}
