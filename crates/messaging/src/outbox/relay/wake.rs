//! The word from whoever committed rows to the relay of the same process: look now.
//! It carries no rows and may be lost (the relay polls and sweeps anyway); calling it costs next to nothing.
//! The shop's stores hold one end, the relay the other.

use std::sync::Arc;

use tokio::sync::Notify;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wake {
    shards: Arc<[Notify]>,
}

impl Wake {
    #[must_use]
    pub fn new(shards: i32) -> Self {
        Self {
            shards: (0..shards.max(1)).map(|_| Notify::new()).collect(),
        }
    }

    /// Rows of these shards have been committed.
    pub fn shards(&self, shards: impl IntoIterator<Item = i32>) {
        for shard in shards {
            if let Some(notify) = self.of(shard) {
                notify.notify_one();
            }
        }
    }

    /// Rows of any shard may have been committed.
    pub fn all(&self) {
        for notify in self.shards.iter() {
            notify.notify_one();
        }
    }

    pub(super) async fn woken(&self, shard: i32) {
        match self.of(shard) {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }

    fn of(&self, shard: i32) -> Option<&Notify> {
        self.shards.get(usize::try_from(shard).ok()?)
    }
}
