//! The listener: binds, serves, and stops in order.
//! On cancel it accepts no more, lets open requests finish within `drain_ms`, and then cuts what is left (event streams).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Http;

/// # Errors
/// The address is taken or not this machine's.
pub async fn bind(settings: &Http) -> anyhow::Result<TcpListener> {
    TcpListener::bind(&settings.listen).await.with_context(|| {
        format!(
            "cannot listen on {} (setting http.listen); is another process there?",
            settings.listen
        )
    })
}

/// Serves until `cancel`.
pub async fn run(
    listener: TcpListener,
    router: Router,
    settings: &Http,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    // Without it small answers wait for the client's delayed acknowledgement.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let drained = cancel.clone();
    let serving = axum::serve(listener, service)
        .with_graceful_shutdown(async move { drained.cancelled().await });
    let drain = Duration::from_millis(settings.drain_ms);
    let bound = async {
        cancel.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = async { serving.await } => served.context("the HTTP listener failed"),
        () = bound => {
            tracing::info!("open connections were cut at the end of the drain");
            Ok(())
        }
    }
}
