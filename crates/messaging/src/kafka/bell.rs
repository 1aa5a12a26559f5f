//! A bell that wakes one thread: rung any number of times, it is heard once.
//! librdkafka's threads and the member ring it; the member's thread sleeps on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

#[derive(Clone, Default)]
pub struct Bell(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.0.rung.lock() = true;
        self.0.heard.notify_one();
    }

    /// Until it has been rung since the last wait, or for so long.
    pub fn wait(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut rung = self.0.rung.lock();
        while !*rung {
            if self.0.heard.wait_until(&mut rung, until).timed_out() {
                break;
            }
        }
        *rung = false;
    }
}
