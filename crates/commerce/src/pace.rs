//! When a batch begins: at once while nothing else is going on; under load once it is worth its fixed price, for a small
//! transaction costs nearly as much as a large one. Whoever was answered by a batch that just ended is likely to ask again, and
//! a batch that began with the first of them would keep all others waiting.
//! Orders gather by it, and joins of coupons.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Shared by those who gather and those who carry out. Cheap to clone.
#[derive(Clone)]
pub struct Pace(Arc<Inner>);

struct Inner {
    gather_max: Duration,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    batches: usize,
    /// Items of all of these.
    under_way: usize,
    last: Option<Ended>,
}

struct Ended {
    items: usize,
    took: Duration,
    at: Instant,
}

impl State {
    /// How long `gathered` items, the first of which came at `since`, wait for more; `None`: the batch begins.
    fn wait(
        &self,
        gathered: usize,
        since: Instant,
        max: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let returning = self.last.as_ref().filter(|last| now < last.until());
        let company = self.under_way.max(returning.map_or(0, |last| last.items));
        let latest = since + max;
        if gathered >= company / 2 || now >= latest {
            return None;
        }
        match (self.batches, returning) {
            (0, Some(last)) => Some(last.until().min(latest)),
            _ => Some(latest),
        }
    }
}

impl Ended {
    /// By then those whom it answered have come again, if they do.
    fn until(&self) -> Instant {
        self.at + self.took / 2
    }
}

impl Pace {
    /// No item waits longer for company than `gather_max`; zero: none waits at all.
    #[must_use]
    pub fn new(gather_max: Duration) -> Self {
        Self(Arc::new(Inner {
            gather_max,
            state: Mutex::default(),
            ended: Notify::new(),
        }))
    }

    /// Fills `batch` with at most `max` items; false when the queue's other end is gone and nothing is left.
    pub async fn gather<T>(
        &self,
        queue: &mut mpsc::Receiver<T>,
        batch: &mut Vec<T>,
        max: usize,
    ) -> bool {
        if queue.recv_many(batch, max).await == 0 {
            return false;
        }
        let since = Instant::now();
        while batch.len() < max {
            let ended = self.0.ended.notified();
            let wait = {
                let state = self.0.state.lock();
                state.wait(batch.len(), since, self.0.gather_max, Instant::now())
            };
            let Some(until) = wait else { break };
            let room = max - batch.len();
            tokio::select! {
                more = queue.recv_many(batch, room) => if more == 0 { break },
                () = ended => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        true
    }

    /// A batch of so many begins; it ends when what is returned is dropped.
    #[must_use]
    pub fn begin(&self, items: usize) -> UnderWay {
        let mut state = self.0.state.lock();
        state.batches += 1;
        state.under_way += items;
        drop(state);
        UnderWay {
            pace: self.clone(),
            items,
            began: Instant::now(),
        }
    }
}

pub struct UnderWay {
    pace: Pace,
    items: usize,
    began: Instant,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let at = Instant::now();
        let mut state = self.pace.0.state.lock();
        state.batches -= 1;
        state.under_way -= self.items;
        state.last = Some(Ended {
            items: self.items,
            took: at - self.began,
            at,
        });
        drop(state);
        self.pace.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_millis(20);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn under_way(items: usize) -> State {
        State {
            batches: 1,
            under_way: items,
            last: None,
        }
    }

    fn ended(items: usize, took: Duration, at: Instant) -> State {
        State {
            last: Some(Ended { items, took, at }),
            ..State::default()
        }
    }

    #[test]
    fn alone_waits_for_nobody() {
        let now = Instant::now();
        assert_eq!(State::default().wait(1, now, MAX, now), None);
        // Nor beside one or two others.
        assert_eq!(under_way(3).wait(1, now, MAX, now), None);
        assert_eq!(ended(3, ms(10), now).wait(1, now, MAX, now), None);
    }

    #[test]
    fn beside_a_large_batch_it_waits_for_half_as_many() {
        let now = Instant::now();
        let state = under_way(60);
        assert_eq!(state.wait(29, now, MAX, now + ms(5)), Some(now + MAX));
        assert_eq!(state.wait(30, now, MAX, now + ms(5)), None);
        assert_eq!(state.wait(1, now, MAX, now + MAX), None, "never for longer");
        assert_eq!(state.wait(1, now, Duration::ZERO, now), None);
    }

    #[test]
    fn after_a_large_batch_it_waits_for_those_who_were_answered_but_not_longer_than_half_of_what_it_took()
     {
        let now = Instant::now();
        let state = ended(60, ms(10), now);
        assert_eq!(state.wait(1, now, MAX, now), Some(now + ms(5)));
        assert_eq!(state.wait(1, now, MAX, now + ms(5)), None);
        let slow = ended(60, ms(1_000), now);
        assert_eq!(slow.wait(1, now, MAX, now), Some(now + MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_begins_when_the_one_before_it_has_ended_and_its_company_is_back() {
        let (sender, mut queue) = mpsc::channel(100);
        let pace = Pace::new(ms(1_000));
        let first = pace.begin(40);
        let others = tokio::spawn(async move {
            sender.send(0).await.unwrap();
            tokio::time::sleep(ms(100)).await;
            drop(first);
            for i in 1..30 {
                sender.send(i).await.unwrap();
                tokio::time::sleep(ms(1)).await;
            }
        });
        let mut batch = Vec::new();
        assert!(pace.gather(&mut queue, &mut batch, 100).await);
        assert_eq!(batch, (0..20).collect::<Vec<_>>());
        others.await.unwrap();
        batch.clear();
        assert!(pace.gather(&mut queue, &mut batch, 100).await);
        assert_eq!(batch, (20..30).collect::<Vec<_>>());
        batch.clear();
        assert!(!pace.gather(&mut queue, &mut batch, 100).await);
    }
}
