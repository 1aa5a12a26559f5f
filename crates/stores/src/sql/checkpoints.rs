//! Checkpoints of SQLite's file beside whoever writes it. By itself the connection that writes moves what the write-ahead log holds into the
//! file, inside a COMMIT, whenever the log is long; all who wait for the file wait for that too. What has been moved by then need not be.
//! It does not shorten the log: the connection that writes begins it anew once all of it has been moved.

use std::sync::Arc;

use messaging::embedded::Writer;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio_util::task::AbortOnDropHandle;

/// Moves what nobody reads any more, and waits for nobody.
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// After every so many turns of `writer`, on `connection`, for as long as what is returned is kept.
pub(super) fn start(
    writer: Writer,
    connection: DatabaseConnection,
    turns: u32,
) -> Arc<AbortOnDropHandle<()>> {
    let task = async move {
        loop {
            writer.turns_taken(turns).await;
            if let Err(error) = connection.execute_unprepared(PASSIVE).await {
                // The connection that writes does it then, and is told why if it cannot.
                tracing::debug!(%error, "no checkpoint");
            }
        }
    };
    Arc::new(AbortOnDropHandle::new(tokio::spawn(task)))
}
