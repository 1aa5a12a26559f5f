//! Watching places until their results: one question a campaign and moment for all who watch it in this process.
//! It bounds how many watch. The event stream route uses it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::queue::{Queue, Standings};
use super::standing::Standing;
use crate::ids::{CouponId, UserId};

/// Users asked for in one call to the queue.
const ASK_MAX: usize = 1_000;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Streams open in one process; more are told 503.
    pub streams_max: usize,
    /// How often the queue is asked.
    pub poll_ms: u64,
    /// A comment is sent after so long without an event.
    pub keep_alive_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            poll_ms: 250,
            keep_alive_ms: 15_000,
        }
    }
}

/// What a watcher sees of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    Standing(Standing),
    /// The queue knows the campaign, and not this user.
    Gone,
}

type Watched = HashMap<UserId, watch::Sender<Seen>>;

pub struct Hub {
    queue: Arc<dyn Queue>,
    pub settings: Settings,
    permits: Arc<Semaphore>,
    /// A campaign is here exactly while a task asks for it; `None` once closed.
    campaigns: Mutex<Option<HashMap<CouponId, Watched>>>,
}

/// One stream's view. Dropping it ends the watching.
pub struct Watching {
    pub seen: watch::Receiver<Seen>,
    _permit: OwnedSemaphorePermit,
}

impl Hub {
    pub fn new(queue: Arc<dyn Queue>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            queue,
            permits: Arc::new(Semaphore::new(settings.streams_max)),
            settings,
            campaigns: Mutex::new(Some(HashMap::new())),
        })
    }

    /// Ends every stream, and lets no new one begin: the process is stopping.
    pub fn close(&self) {
        *self.campaigns.lock() = None;
    }

    /// `None`: as many watch as may.
    pub fn watch(self: &Arc<Self>, coupon: CouponId, user: UserId) -> Option<Watching> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let mut guard = self.campaigns.lock();
        let campaigns = guard.as_mut()?;
        let begin = !campaigns.contains_key(&coupon);
        let mut seen = campaigns
            .entry(coupon)
            .or_default()
            .entry(user)
            .or_insert_with(|| watch::channel(Seen::Nothing).0)
            .subscribe();
        // What another stream of this user has been told is news to this one.
        seen.mark_changed();
        if begin {
            tokio::spawn(self.clone().follow(coupon));
        }
        Some(Watching {
            seen,
            _permit: permit,
        })
    }

    /// Asks until nobody watches the campaign any more.
    async fn follow(self: Arc<Self>, coupon: CouponId) {
        loop {
            tokio::time::sleep(Duration::from_millis(self.settings.poll_ms.max(1))).await;
            let users = {
                let mut campaigns = self.campaigns.lock();
                let Some(campaigns) = campaigns.as_mut() else {
                    return;
                };
                let Some(watched) = campaigns.get_mut(&coupon) else {
                    return;
                };
                watched.retain(|_, sender| sender.receiver_count() > 0);
                if watched.is_empty() {
                    campaigns.remove(&coupon);
                    return;
                }
                watched.keys().copied().collect::<Vec<_>>()
            };
            for users in users.chunks(ASK_MAX) {
                match self.queue.standings(coupon, users).await {
                    Ok(Some(standings)) => self.tell(coupon, users, &standings),
                    // Away, or being rebuilt: the streams stay open until it can say.
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(coupon = coupon.get(), %error, "cannot watch");
                    }
                }
            }
        }
    }

    fn tell(&self, coupon: CouponId, users: &[UserId], standings: &Standings) {
        let campaigns = self.campaigns.lock();
        let Some(watched) = campaigns.as_ref().and_then(|all| all.get(&coupon)) else {
            return;
        };
        for (user, entry) in users.iter().zip(&standings.entries) {
            let Some(sender) = watched.get(user) else {
                continue;
            };
            let seen = match entry {
                Some(entry) => Seen::Standing(Standing::of(coupon, *entry, standings)),
                None => Seen::Gone,
            };
            sender.send_if_modified(|before| {
                let changed = *before != seen;
                if changed {
                    *before = seen;
                }
                changed
            });
        }
    }
}
