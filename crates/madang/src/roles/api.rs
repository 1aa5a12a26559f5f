//! The role `api`: its routes are mounted when the process starts; this keeps what they need fresh.
//! On cancel it ends at once (the listener drains requests). It does not fail.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::auth;
use crate::shop::Shop;

pub async fn run(shop: Arc<Shop>, cancel: CancellationToken) -> anyhow::Result<()> {
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
    Ok(())
}
