//! When to stop: SIGTERM and Ctrl-C. The first asks, the second does not wait.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was interrupted twice.
const INTERRUPTED: i32 = 130;

/// Cancels at the first signal and ends the process at the second. Must be called within a tokio runtime.
///
/// # Errors
/// Signals cannot be received.
pub fn on_signal(cancel: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "stopping");
        cancel.cancel();
        next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}
