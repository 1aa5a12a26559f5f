//! What consumers do with a batch, and what the data platform is told, as steps.

use std::sync::Arc;

use async_trait::async_trait;
use commerce::data_platform::{Delivered, Delivery, Sink};
use messaging::consumer::{Event, Failure, Handler, Verdict};
use messaging::failpoint::{self, Injected};

use crate::shop::Name;

pub struct Handling {
    handler: Arc<dyn Handler>,
    step: &'static str,
}

impl Handling {
    pub fn new(handler: Arc<dyn Handler>, name: Name) -> Self {
        let step = match name {
            Name::Analytics => "handle.analytics",
            Name::Ranking => "handle.ranking",
            Name::CouponIssue => "handle.coupon-issue",
            Name::DataPlatform => "handle.data-platform",
        };
        Self { handler, step }
    }
}

fn again(injected: Injected) -> Verdict {
    Verdict::RetryAll(Failure::new("Failpoint", injected.to_string()))
}

#[async_trait]
impl Handler for Handling {
    async fn handle(&self, batch: &[Event]) -> Verdict {
        if let Err(injected) = failpoint::before(self.step).await {
            return again(injected);
        }
        let verdict = self.handler.handle(batch).await;
        match failpoint::after(self.step).await {
            Ok(()) => verdict,
            Err(injected) => again(injected),
        }
    }
}

pub struct Delivering(pub Arc<dyn Sink>);

#[async_trait]
impl Sink for Delivering {
    fn batch_max(&self) -> usize {
        self.0.batch_max()
    }

    async fn deliver(&self, batch: &[Delivery]) -> Vec<Delivered> {
        let failed = |injected: Injected| {
            let retry = Delivered::Retry {
                cause: injected.to_string(),
                after_ms: None,
            };
            vec![retry; batch.len()]
        };
        if let Err(injected) = failpoint::before("platform.deliver").await {
            return failed(injected);
        }
        let delivered = self.0.deliver(batch).await;
        match failpoint::after("platform.deliver").await {
            Ok(()) => delivered,
            Err(injected) => failed(injected),
        }
    }
}
