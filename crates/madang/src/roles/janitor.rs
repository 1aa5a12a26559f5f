//! The role `janitor`: expiry and pruning, round after round.
//! On cancel it ends after the step in hand. A step that fails is logged and tried again in the next round.

use std::sync::Arc;
use std::time::Duration;

use stores::sql;
use stores::sql::idempotency::prune_idempotency;
use stores::sql::notes::prune_foreign;
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
    let janitor = &shop.config.janitor;
    let now = shop.features.clock.now();
    let days_us = |days: u32| i64::from(days) * 86_400_000_000;
    if let Some(Log::Embedded(log)) = &shop.log {
        said("records of the embedded log", log.prune_once(now).await);
    }
    if let Some(queue) = &shop.features.coupon_ports.embedded {
        let pruned = queue.prune_once(now.as_microsecond()).await;
        said("rows of the embedded coupon queue", pruned);
    }
    let keep_us = days_us(janitor.idempotency_keep_days);
    let mut pruned = 0;
    loop {
        match prune_idempotency(&shop.database, keep_us, janitor.batch_max).await {
            Ok(0) => break said("idempotency records", Ok::<_, sql::Error>(pruned)),
            Ok(rows) => pruned += rows,
            Err(error) => break said("idempotency records", Err(error)),
        }
    }
    let before_us = now.as_microsecond() - days_us(janitor.foreign_notes_keep_days);
    let pruned = prune_foreign(&shop.database, before_us, janitor.batch_max).await;
    said("notes of foreign events", pruned);
}

fn said<E: std::fmt::Display>(what: &str, pruned: Result<u64, E>) {
    match pruned {
        Ok(0) => {}
        Ok(count) => tracing::info!(what, count, "pruned"),
        Err(error) => {
            tracing::warn!(what, %error, "could not be pruned, the next round tries again")
        }
    }
}
