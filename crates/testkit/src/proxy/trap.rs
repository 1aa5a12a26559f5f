//! Catching one request on its way, to lose its answer or to hold it back.
//! A pattern may lie across two pieces of a stream: the end of one is kept for the next.
//! Called by the proxy's connections.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What is done with the request that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catch {
    /// The server gets it; its answer is dropped and the connection closed.
    LoseAnswer,
    /// The client's connection is closed at once; the server gets the request when the trap is released.
    Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Armed,
    Sprung,
    Released,
    Answered,
}

/// A trap that was set: whoever set it follows it here.
#[derive(Clone)]
pub struct Trap {
    inner: Arc<Inner>,
}

struct Inner {
    after: Vec<u8>,
    on: Vec<u8>,
    catch: Catch,
    progress: watch::Sender<Progress>,
}

impl Trap {
    /// Returns once a request has been caught.
    pub async fn sprung(&self) {
        self.reached(Progress::Sprung).await;
    }

    pub fn has_sprung(&self) -> bool {
        *self.inner.progress.borrow() >= Progress::Sprung
    }

    /// Lets the server have the request that was held.
    pub fn release(&self) {
        self.advance(Progress::Released);
    }

    /// Returns once the server has answered the request that was caught.
    pub async fn answered(&self) {
        self.reached(Progress::Answered).await;
    }

    pub(super) fn catch(&self) -> Catch {
        self.inner.catch
    }

    pub(super) async fn released(&self) {
        self.reached(Progress::Released).await;
    }

    pub(super) fn was_answered(&self) {
        self.advance(Progress::Answered);
    }

    async fn reached(&self, wanted: Progress) {
        let mut progress = self.inner.progress.subscribe();
        // The sender lives in `self`: it cannot be gone.
        let _ = progress.wait_for(|now| *now >= wanted).await;
    }

    fn advance(&self, to: Progress) {
        self.inner.progress.send_if_modified(|now| {
            let further = *now < to;
            *now = (*now).max(to);
            further
        });
    }
}

/// The trap that is set, if one is.
#[derive(Default)]
pub(super) struct Armed {
    trap: Mutex<Option<Trap>>,
}

impl Armed {
    pub(super) fn arm(&self, after: &[u8], on: &[u8], catch: Catch) -> Trap {
        let trap = Trap {
            inner: Arc::new(Inner {
                after: after.to_vec(),
                on: on.to_vec(),
                catch,
                progress: watch::Sender::new(Progress::Armed),
            }),
        };
        *self.lock() = Some(trap.clone());
        trap
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Trap>> {
        self.trap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection has carried since the trap was set.
#[derive(Default)]
pub(super) struct Watcher {
    trap: Option<Trap>,
    after_seen: bool,
    /// The end of what was seen, as long as the longest pattern less one.
    tail: Vec<u8>,
}

impl Watcher {
    /// Looks at a piece from the client; the trap when it springs on this one. It springs once, on one connection.
    pub(super) fn look(&mut self, armed: &Armed, piece: &[u8]) -> Option<Trap> {
        let mut set = armed.lock();
        let trap = set.as_ref()?;
        let known = self.trap.as_ref();
        if !known.is_some_and(|it| Arc::ptr_eq(&it.inner, &trap.inner)) {
            *self = Watcher {
                trap: Some(trap.clone()),
                ..Watcher::default()
            };
        }
        let inner = &trap.inner;
        let seen = [self.tail.as_slice(), piece].concat();
        let mut from = 0;
        if !self.after_seen
            && let Some(at) = find(&seen, &inner.after)
        {
            self.after_seen = true;
            from = at + inner.after.len();
        }
        if self.after_seen && find(&seen[from..], &inner.on).is_some() {
            inner.progress.send_replace(Progress::Sprung);
            return set.take();
        }
        let keep = inner.after.len().max(inner.on.len()).saturating_sub(1);
        // What lies before the end of `after` must not be taken for what comes after it.
        let keep = keep.min(seen.len() - from);
        self.tail = seen[seen.len() - keep..].to_vec();
        None
    }
}

/// Where `part` begins; an empty one is found at once.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn springs_once_after_what_must_come_before_also_across_pieces() {
        let armed = Armed::default();
        let mut first = Watcher::default();
        assert!(first.look(&armed, b"INSERT COMMIT").is_none(), "not set");
        armed.arm(b"INSERT", b"COMMIT", Catch::LoseAnswer);
        assert!(first.look(&armed, b"COMMIT").is_none(), "nothing before it");
        assert!(first.look(&armed, b"INS").is_none());
        assert!(first.look(&armed, b"ERT COM").is_none());
        let mut second = Watcher::default();
        assert!(second.look(&armed, b"MIT").is_none(), "another's beginning");
        let trap = first.look(&armed, b"MIT").expect("it springs");
        assert!(trap.has_sprung());
        assert!(first.look(&armed, b"INSERT COMMIT").is_none(), "only once");
    }
}
