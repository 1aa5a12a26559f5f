//! A handler that a test writes as a closure, and a runtime around it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use messaging::backoff::Backoff;
use messaging::consumer::{Event, Failure, Handler, Outcome, Runtime, Settings, Verdict};
use messaging::log::Error;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake_log::{FakeLog, Handle};

pub const GROUP: &str = "g";

type Work = Box<dyn Fn(Vec<Event>) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// What the handler was given, call by call: topic, partition and offset of each record.
pub type Calls = Arc<Mutex<Vec<Vec<(String, i32, i64)>>>>;

struct Scripted {
    work: Work,
    calls: Calls,
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, batch: &[Event]) -> Verdict {
        let call = batch
            .iter()
            .map(|event| {
                (
                    event.record.topic.clone(),
                    event.record.partition,
                    event.record.offset,
                )
            })
            .collect();
        self.calls.lock().push(call);
        (self.work)(batch.to_vec()).await
    }
}

pub struct Shop {
    pub log: Arc<FakeLog>,
    pub calls: Calls,
    pub cancel: CancellationToken,
    pub running: JoinHandle<Result<(), Error>>,
}

impl Shop {
    /// A consumer whose handler answers at once.
    pub fn open(
        log: &Arc<FakeLog>,
        settings: Settings,
        work: impl Fn(&[Event]) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        let work = Arc::new(work);
        Self::open_slow(log, settings, move |batch| {
            let verdict = work(&batch);
            Box::pin(async move { verdict })
        })
    }

    pub fn open_slow(
        log: &Arc<FakeLog>,
        settings: Settings,
        work: impl Fn(Vec<Event>) -> BoxFuture<'static, Verdict> + Send + Sync + 'static,
    ) -> Self {
        let calls = Calls::default();
        let handler = Arc::new(Scripted {
            work: Box::new(work),
            calls: Arc::clone(&calls),
        });
        let runtime = Runtime::new(Arc::new(Handle(Arc::clone(log))), handler, settings);
        let cancel = CancellationToken::new();
        let running = tokio::spawn({
            let cancel = cancel.clone();
            async move { runtime.run(cancel).await }
        });
        Self {
            log: Arc::clone(log),
            calls,
            cancel,
            running,
        }
    }

    pub async fn committed(&self, topic: &str, partition: i32, offset: i64) {
        until(
            &format!("{topic}-{partition} is committed at {offset}"),
            || self.log.committed_at(GROUP, topic, partition) == offset,
        )
        .await;
    }

    pub async fn close(self) {
        self.cancel.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// One topic `a`, in small batches.
pub fn settings() -> Settings {
    Settings {
        name: "test".into(),
        group: GROUP.into(),
        topics: vec!["a".into()],
        batch_max: 10,
        backoff: Backoff {
            initial_ms: 10,
            max_ms: 1_000,
            ..Backoff::default()
        },
        ..Settings::default()
    }
}

pub fn failure() -> Failure {
    Failure::new("Kind", "what happened")
}

pub fn each(batch: &[Event], outcome: impl FnMut(&Event) -> Outcome) -> Verdict {
    Verdict::Each(batch.iter().map(outcome).collect())
}

pub fn done(batch: &[Event]) -> Verdict {
    each(batch, |_| Outcome::Done)
}

/// Waits for a condition; the deadline is of the clock that stands still, so that a test that fails does so at once.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
