//! The role `janitor`: expiry and pruning, round after round.
//! On cancel it ends after the step in hand. A step that fails is logged and tried again in the next round.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::shop::{Log, Shop};

pub async fn run(shop: Arc<Shop>, cancel: CancellationToken) -> anyhow::Result<()> {
    let every = Duration::from_millis(shop.config.janitor.every_ms);
    while !cancel.is_cancelled() {
        round(&shop).await;
        if cancel
            .run_until_cancelled(tokio::time::sleep(every))
            .await
            .is_none()
        {
            break;
        }
    }
    Ok(())
}

async fn round(shop: &Shop) {
    if let Some(Log::Embedded(log)) = &shop.log {
        match log.prune_once(jiff::Timestamp::now()).await {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, "old records were pruned from the embedded log"),
            Err(error) => tracing::warn!(%error, "the embedded log could not be pruned"),
        }
    }
    let features = &shop.features;
    if let Some(queue) = &features.coupon_ports.embedded {
        let now_us = features.clock.now().as_microsecond();
        if let Err(error) = queue.prune_once(now_us).await {
            tracing::warn!(%error, "the embedded coupon queue could not be pruned");
        }
    }
}
