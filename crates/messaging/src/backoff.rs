//! How long to wait before the next try (exponential, capped, with jitter), and before the next look.
//! It only computes; who waits, and for how many tries, is the caller's affair.
//! The consumer runtime, the outbox relay and the embedded log use it.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    pub initial_ms: u64,
    /// At least 1.
    pub multiplier: f64,
    pub max_ms: u64,
    /// The share of a delay, 0 to 1, that chance may take off it.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial_ms: 200,
            multiplier: 2.0,
            max_ms: 30_000,
            jitter: 0.2,
        }
    }
}

impl Backoff {
    /// The longest wait after so many failures in a row (1 the first time), in milliseconds.
    #[must_use]
    pub fn ceiling_ms(&self, failures: u32) -> u64 {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial_ms as f64 * self.multiplier.max(1.0).powi(exponent);
        // A float beyond the range saturates, and 0 x infinity is NaN, which becomes 0.
        (grown as u64).min(self.max_ms)
    }

    /// A wait drawn from the upper end: many that failed together do not come back together.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let ceiling = self.ceiling_ms(failures);
        let taken = ceiling as f64 * self.jitter.clamp(0.0, 1.0) * fastrand::f64();
        Duration::from_millis(ceiling.saturating_sub(taken as u64))
    }
}

/// The pause after a look for what others may have done: `often` where it found something, else twice the last pause, and
/// `seldom` at most. Where whoever works in the same process says so at once, looks find nothing and nobody waits for them.
#[must_use]
pub fn next_look(last: Duration, found: bool, often: Duration, seldom: Duration) -> Duration {
    if found {
        return often;
    }
    (last * 2).clamp(often, seldom.max(often))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn looks_become_rarer_while_they_find_nothing() {
        let ms = Duration::from_millis;
        let next = |last, found| next_look(ms(last), found, ms(100), ms(500));
        let found_nothing = [(0, 100), (100, 200), (200, 400), (400, 500), (500, 500)];
        for (last, then) in found_nothing {
            assert_eq!(next(last, false), ms(then), "after {last} ms");
            assert_eq!(next(last, true), ms(100), "after {last} ms");
        }
        // Not more often than `often`, whatever `seldom` says.
        assert_eq!(next_look(ms(100), false, ms(100), ms(1)), ms(100));
    }

    #[test]
    fn doubles_up_to_the_cap() {
        let backoff = Backoff {
            initial_ms: 100,
            multiplier: 2.0,
            max_ms: 1_000,
            jitter: 0.0,
        };
        let waits: Vec<u64> = (1..=6).map(|n| backoff.ceiling_ms(n)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(
            initial_ms in 0_u64..10_000,
            multiplier in 0.0_f64..100.0,
            max_ms in 0_u64..100_000,
            jitter in -1.0_f64..2.0,
            failures in 0_u32..u32::MAX,
        ) {
            let backoff = Backoff { initial_ms, multiplier, max_ms, jitter };
            let ceiling = backoff.ceiling_ms(failures);
            prop_assert!(ceiling <= max_ms);
            prop_assert!(ceiling >= initial_ms.min(max_ms));
            prop_assert!(backoff.delay(failures) <= Duration::from_millis(ceiling));
        }
    }
}
