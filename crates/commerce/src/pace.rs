//! When a batch begins: at once while nothing else is going on; under load once it is worth its fixed price, for a small
//! transaction costs nearly as much as a large one. Whoever was answered by a batch that just ended is likely to ask again, and
//! a batch that began with the first of them would keep all others waiting.
//! Orders gather by it, and joins of coupons.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// A batch of so many is worth its fixed price, and is not put off.
const WORTH_ITEMS: usize = 32;
/// After one of fewer the next is put off less.
const SMALL_ITEMS: usize = 8;

/// Shared by those who gather and those who carry out. Cheap to clone.
#[derive(Clone)]
pub struct Pace(Arc<Inner>);

struct Inner {
    gather_max: Duration,
    interval: Duration,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    batches: usize,
    /// Items of all of these.
    under_way: usize,
    began: Option<Began>,
    last: Option<Ended>,
}

#[derive(Clone, Copy)]
struct Began {
    items: usize,
    at: Instant,
}

struct Ended {
    items: usize,
    took: Duration,
    at: Instant,
}

impl Inner {
    /// How long `gathered` items, the first of which came at `since`, wait for more; `None`: the batch begins.
    fn wait(
        &self,
        state: &State,
        gathered: usize,
        since: Instant,
        now: Instant,
    ) -> Option<Instant> {
        let returning = state.last.as_ref().filter(|last| now < last.until());
        let company = state.under_way.max(returning.map_or(0, |last| last.items));
        let latest = since + self.gather_max;
        if now >= latest {
            return None;
        }
        if gathered >= company / 2 {
            let began = state.began.as_ref().filter(|_| gathered < WORTH_ITEMS)?;
            let next = began.next(self.interval).min(latest);
            return (now < next).then_some(next);
        }
        match (state.batches, returning) {
            (0, Some(last)) => Some(last.until().min(latest)),
            _ => Some(latest),
        }
    }
}

impl Began {
    /// When one that is not worth its price may begin: an interval later, after a small batch in proportion sooner. Whoever is
    /// alone, or beside one or two others, waits for nobody.
    fn next(&self, interval: Duration) -> Instant {
        match self.items {
            0..=3 => self.at,
            items => self.at + interval * items.min(SMALL_ITEMS) as u32 / SMALL_ITEMS as u32,
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
    /// No item waits longer for company than `gather_max`; zero: none waits at all. Small batches of many callers begin
    /// `interval` apart; zero: whenever they can.
    #[must_use]
    pub fn new(gather_max: Duration, interval: Duration) -> Self {
        Self(Arc::new(Inner {
            gather_max,
            interval,
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
                self.0.wait(&state, batch.len(), since, Instant::now())
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
        let at = Instant::now();
        let batch = Began { items, at };
        let mut state = self.0.state.lock();
        state.batches += 1;
        state.under_way += items;
        state.began = Some(batch);
        drop(state);
        UnderWay {
            pace: self.clone(),
            batch,
        }
    }
}

pub struct UnderWay {
    pace: Pace,
    batch: Began,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let at = Instant::now();
        let Began { items, at: began } = self.batch;
        let mut state = self.pace.0.state.lock();
        state.batches -= 1;
        state.under_way -= items;
        state.last = Some(Ended {
            items,
            took: at - began,
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

    fn pace() -> Inner {
        Inner {
            gather_max: MAX,
            interval: Duration::ZERO,
            state: Mutex::default(),
            ended: Notify::new(),
        }
    }

    fn under_way(items: usize) -> State {
        State {
            batches: 1,
            under_way: items,
            ..State::default()
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
        // Nor beside one or two others.
        for state in [State::default(), under_way(3), ended(3, ms(10), now)] {
            assert_eq!(pace().wait(&state, 1, now, now), None);
        }
    }

    #[test]
    fn beside_a_large_batch_it_waits_for_half_as_many() {
        let now = Instant::now();
        let state = under_way(60);
        let wait = |gathered, at| pace().wait(&state, gathered, now, at);
        assert_eq!(wait(29, now + ms(5)), Some(now + MAX));
        assert_eq!(wait(30, now + ms(5)), None);
        assert_eq!(wait(1, now + MAX), None, "never for longer");
        let hasty = Inner {
            gather_max: Duration::ZERO,
            ..pace()
        };
        assert_eq!(hasty.wait(&state, 1, now, now), None);
    }

    #[test]
    fn after_a_large_batch_it_waits_for_those_who_were_answered_but_not_longer_than_half_of_what_it_took()
     {
        let now = Instant::now();
        let state = ended(60, ms(10), now);
        assert_eq!(pace().wait(&state, 1, now, now), Some(now + ms(5)));
        assert_eq!(pace().wait(&state, 1, now, now + ms(5)), None);
        let slow = ended(60, ms(1_000), now);
        assert_eq!(pace().wait(&slow, 1, now, now), Some(now + MAX));
    }

    #[test]
    fn small_batches_of_many_callers_begin_an_interval_apart() {
        let at = Instant::now();
        let pace = Inner {
            interval: ms(8),
            ..pace()
        };
        let began = |items| State {
            began: Some(Began { items, at }),
            ..State::default()
        };
        let wait = |items, gathered, after| {
            let now = at + ms(after);
            let until = pace.wait(&began(items), gathered, now, now)?;
            Some((until - at).as_millis())
        };
        assert_eq!(wait(8, 1, 2), Some(8));
        assert_eq!(wait(200, 31, 7), Some(8));
        assert_eq!(wait(200, 31, 8), None);
        assert_eq!(wait(200, 32, 2), None, "enough of them");
        assert_eq!(wait(4, 1, 2), Some(4), "in proportion");
        assert_eq!(wait(3, 1, 0), None, "beside one or two others");
        let hasty = Inner {
            gather_max: ms(1),
            ..pace
        };
        assert_eq!(hasty.wait(&began(8), 1, at, at), Some(at + ms(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_begins_when_the_one_before_it_has_ended_and_its_company_is_back() {
        let (sender, mut queue) = mpsc::channel(100);
        let pace = Pace::new(ms(1_000), Duration::ZERO);
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
