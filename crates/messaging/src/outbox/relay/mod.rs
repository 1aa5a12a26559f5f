//! The relay: publishes what the outbox holds, in order within a shard, and deletes exactly what the log has acknowledged.
//! At least once: a row is gone only after the records of its events are durable, and a crash between the two sends it again.
//! The binary runs one in the relay role; stores wake it.

mod mapping;
mod sending;
mod settings;
mod settling;
mod shard;
mod wake;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use metrics::gauge;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use mapping::{dead_letter_topic, required_topics};
pub use settings::Settings;
pub use wake::Wake;

use self::shard::Shard;
use super::{Error, Store};
use crate::log::EventLog;

/// What the shards of one relay share.
struct Shared {
    log: Arc<dyn EventLog>,
    store: Arc<dyn Store>,
    settings: Settings,
    wake: Wake,
    started: Instant,
}

pub struct Relay {
    shared: Arc<Shared>,
}

impl Relay {
    #[must_use]
    pub fn new(
        log: Arc<dyn EventLog>,
        store: Arc<dyn Store>,
        settings: Settings,
        wake: Wake,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                log,
                store,
                settings,
                wake,
                started: Instant::now(),
            }),
        }
    }

    /// Relays every shard that it can lease, until `cancel`; then awaits what is on its way, deletes, and gives its leases up.
    ///
    /// Shards beyond its settings are relayed too once they have rows: they were written when there were more.
    pub async fn run(&self, cancel: CancellationToken) {
        let (show, count) = watch::channel(self.shared.settings.shards.max(1));
        tokio::select! {
            () = self.run_shards(count, &cancel) => {}
            () = show_depth(&self.shared, &show) => {}
        }
    }

    async fn run_shards(&self, mut count: watch::Receiver<i32>, cancel: &CancellationToken) {
        let mut shards = JoinSet::new();
        let mut started = 0;
        loop {
            let wanted = *count.borrow_and_update();
            for shard in started..wanted {
                self.start(&mut shards, shard, cancel);
            }
            started = wanted;
            tokio::select! {
                Ok(()) = count.changed() => {}
                ended = shards.join_next() => match ended {
                    None => return,
                    Some(Ok((shard, true))) if !cancel.is_cancelled() => {
                        tracing::error!(shard, "relay of a shard panicked, it starts again");
                        self.start(&mut shards, shard, cancel);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn start(&self, shards: &mut JoinSet<(i32, bool)>, shard: i32, cancel: &CancellationToken) {
        let relay = Shard::new(Arc::clone(&self.shared), shard).run(cancel.clone());
        let pause = self.shared.settings.backoff.delay(1);
        shards.spawn(async move {
            let panicked = AssertUnwindSafe(relay).catch_unwind().await.is_err();
            if panicked {
                tokio::time::sleep(pause).await;
            }
            (shard, panicked)
        });
    }

    /// One pass over the shard, from its head to its end: takes the lease, publishes, deletes, gives the lease up.
    /// Returns how many events it published; 0 when another owner has the shard.
    pub async fn relay_once(&self, shard: i32) -> Result<u64, Error> {
        Shard::new(Arc::clone(&self.shared), shard).once().await
    }
}

/// For as long as it is polled. `shards` never becomes fewer.
async fn show_depth(shared: &Shared, shards: &watch::Sender<i32>) {
    let mut tick = tokio::time::interval(Duration::from_millis(shared.settings.depth_ms.max(1)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // A store that is away is the shards' news; the gauges keep their last value.
        if let Ok(depth) = shared.store.depth().await {
            gauge!("madang_outbox_events").set(depth.events as f64);
            gauge!("madang_outbox_oldest_age_seconds").set(depth.oldest_us as f64 / 1e6);
            shards.send_if_modified(|count| {
                let more = depth.shards > *count;
                if more {
                    tracing::info!(
                        shards = depth.shards,
                        configured = shared.settings.shards,
                        "the outbox holds rows of more shards than outbox.shards says"
                    );
                    *count = depth.shards;
                }
                more
            });
        }
    }
}
