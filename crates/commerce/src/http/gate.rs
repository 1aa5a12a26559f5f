//! What the extractors need to judge a request: how callers are told apart, limits, and the idempotency keys in flight.
//! One a process, put into each request's extensions by the binary.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::auth::Authenticator;

pub struct Gate {
    pub authenticator: Authenticator,
    /// Largest body in bytes that is read.
    pub body_max_bytes: usize,
    in_flight: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Gate {
    #[must_use]
    pub fn new(authenticator: Authenticator, body_max_bytes: usize) -> Self {
        Self {
            authenticator,
            body_max_bytes,
            in_flight: Arc::default(),
        }
    }

    /// Marks the key as in flight until the returned guard is dropped; `None` while another holds it.
    pub(super) fn enter(&self, scope: [u8; 32]) -> Option<InFlight> {
        self.in_flight.lock().insert(scope).then(|| InFlight {
            scope,
            all: self.in_flight.clone(),
        })
    }
}

/// A key in flight in this process.
pub(super) struct InFlight {
    scope: [u8; 32],
    all: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.lock().remove(&self.scope);
    }
}
