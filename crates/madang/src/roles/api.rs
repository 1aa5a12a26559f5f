//! The role `api`: its routes are mounted when the process starts; this keeps what they need fresh: the issuer's keys, and
//! whether the outbox is full.
//! On cancel it ends at once (the listener drains requests). It does not fail.

use std::sync::Arc;
use std::time::Duration;

use stores::sql::outbox::Outbox;
use tokio_util::sync::CancellationToken;

use crate::auth;
use crate::shop::Shop;

pub async fn run(shop: Arc<Shop>, cancel: CancellationToken) -> anyhow::Result<()> {
    tokio::join!(
        keep_keys(&shop, cancel.clone()),
        watch_outbox(&shop, &cancel)
    );
    Ok(())
}

/// While the outbox holds as many events as it may, no order is taken.
async fn watch_outbox(shop: &Shop, cancel: &CancellationToken) {
    let settings = &shop.config.outbox;
    if settings.events_max == 0 || shop.log.is_none() {
        return;
    }
    let outbox = Outbox::new(shop.database.clone());
    let backlog = shop.features.backlog();
    let every = Duration::from_millis(settings.depth_ms.max(1));
    loop {
        // A database that is away takes no orders anyway.
        if let Ok(full) = outbox.holds(settings.events_max).await {
            metrics::gauge!("madang_outbox_full").set(f64::from(u8::from(full)));
            if backlog.set_full(full) {
                let events_max = settings.events_max;
                match full {
                    true => tracing::error!(
                        events_max,
                        "the outbox is full: orders are refused until it drains"
                    ),
                    false => {
                        tracing::info!(events_max, "the outbox has room: orders are taken again")
                    }
                }
            }
        }
        let next = cancel.run_until_cancelled(tokio::time::sleep(every)).await;
        if next.is_none() {
            return;
        }
    }
}

async fn keep_keys(shop: &Shop, cancel: CancellationToken) {
    let settings = &shop.config.auth;
    if settings.jwks_url.is_empty() {
        cancel.cancelled().await;
    } else {
        auth::refresh(
            &settings.jwks_url,
            settings.jwks_refresh_ms,
            &shop.issuer_keys,
            cancel,
        )
        .await;
    }
}
