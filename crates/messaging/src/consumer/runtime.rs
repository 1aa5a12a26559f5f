//! The consumer as its owner sees it: a log, a handler and settings in, a long-lived task out.
//! It joins the group, and joins again when a membership is over; what happens within one is `member`'s affair.
//! The binary starts one a consumer.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Handler;
use super::member::Member;
use super::route::{Routes, consumed_topics};
use super::settings::Settings;
use super::worker::Shared;
use crate::log::{Error, EventLog, Subscription};

pub struct Runtime {
    shared: Arc<Shared>,
}

impl Runtime {
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, handler: Arc<dyn Handler>, settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                permits: Semaphore::new(settings.concurrency.max(1)),
                routes: Routes::new(&settings),
                log,
                handler,
                settings,
            }),
        }
    }

    /// Consumes until `cancel`; then takes no more batches, settles those in hand within `drain_ms`, commits and leaves.
    /// A log that is away, or a topic that is not there yet, is waited for; an error is one that no waiting can cure.
    pub async fn run(&self, cancel: CancellationToken) -> Result<(), Error> {
        let settings = &self.shared.settings;
        let mut failures = 0;
        loop {
            let joined = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                joined = self.shared.log.join(self.subscription()) => joined,
            };
            let ended = match joined {
                Ok(membership) => {
                    let mut member = Member::new(Arc::clone(&self.shared), membership);
                    let ended = member.run(&cancel).await;
                    if member.has_delivered() {
                        failures = 0;
                    }
                    ended
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => return Ok(()),
                Err(error @ (Error::Unavailable(_) | Error::UnknownTopic(_))) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(consumer = settings.name, group = settings.group, %error, "not in the group, joining again");
                    }
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(settings.backoff.delay(failures)) => {}
            }
        }
    }

    fn subscription(&self) -> Subscription {
        let settings = &self.shared.settings;
        let topics = consumed_topics(settings);
        let own_topics = topics
            .iter()
            .filter(|topic| !settings.topics.contains(topic))
            .cloned()
            .collect();
        Subscription {
            group: settings.group.clone(),
            topics,
            batch_max: settings.batch_max,
            fetch_wait_max_ms: settings.fetch_wait_max_ms,
            reset: settings.reset,
            own_topics,
        }
    }
}
