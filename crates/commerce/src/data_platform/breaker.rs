//! Whether a sink is worth asking: after many failures in a row it is left alone for a while, then tried with one event.
//! Knows no sink and no clock of its own. Used by the data platform's handler.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Failures in a row after which the sink is left alone.
    pub failures_max: u32,
    /// For how long; the sink's own wish (Retry-After) prolongs it, up to `open_max_ms`.
    pub open_ms: u64,
    pub open_max_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            failures_max: 20,
            open_ms: 5_000,
            open_max_ms: 60_000,
        }
    }
}

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// As much as there is.
    All,
    /// One event, to see whether the sink is back.
    Probe,
    /// Nothing.
    None,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing { since: Instant },
}

pub struct Breaker {
    settings: Settings,
    state: Mutex<State>,
}

impl Breaker {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    pub fn permit(&self, now: Instant) -> Permit {
        let mut state = self.state.lock();
        let open = Duration::from_millis(self.settings.open_ms);
        match *state {
            State::Closed { .. } => Permit::All,
            State::Open { until } if now < until => Permit::None,
            // A probe that never reported (its task was stopped) does not block for ever.
            State::Probing { since } if now < since + open => Permit::None,
            State::Open { .. } | State::Probing { .. } => {
                *state = State::Probing { since: now };
                Permit::Probe
            }
        }
    }

    /// The sink answered, if only to refuse.
    pub fn answered(&self) {
        *self.state.lock() = State::Closed { failures: 0 };
    }

    /// The sink failed; `after_ms` is its wish. Answers whether it is to be left alone now.
    pub fn failed(&self, now: Instant, after_ms: Option<u64>) -> bool {
        let mut state = self.state.lock();
        let failures = match *state {
            State::Closed { failures } => failures.saturating_add(1),
            State::Open { .. } => return true,
            State::Probing { .. } => u32::MAX,
        };
        if failures < self.settings.failures_max {
            *state = State::Closed { failures };
            return false;
        }
        let open_ms = after_ms
            .unwrap_or_default()
            .min(self.settings.open_max_ms)
            .max(self.settings.open_ms);
        let until = now + Duration::from_millis(open_ms);
        *state = State::Open { until };
        metrics::counter!("madang_data_platform_breaker_opened_total").increment(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_after_a_probe() {
        let breaker = Breaker::new(Settings {
            failures_max: 3,
            open_ms: 100,
            open_max_ms: 1_000,
        });
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!breaker.failed(at(0), None));
        assert!(!breaker.failed(at(0), None));
        breaker.answered();
        assert!(!breaker.failed(at(0), None));
        assert!(!breaker.failed(at(0), None));
        assert_eq!(breaker.permit(at(0)), Permit::All);
        assert!(breaker.failed(at(0), None));
        assert_eq!(breaker.permit(at(99)), Permit::None);
        assert_eq!(breaker.permit(at(100)), Permit::Probe);
        // Only one probe at a time.
        assert_eq!(breaker.permit(at(101)), Permit::None);
        // The probe fails and the sink wishes for more, within bounds.
        assert!(breaker.failed(at(110), Some(500)));
        assert_eq!(breaker.permit(at(609)), Permit::None);
        assert_eq!(breaker.permit(at(610)), Permit::Probe);
        assert!(breaker.failed(at(610), Some(99_999)));
        assert_eq!(breaker.permit(at(1_610)), Permit::Probe);
        // A probe that is never heard of again is followed by another.
        assert_eq!(breaker.permit(at(1_710)), Permit::Probe);
        breaker.answered();
        assert_eq!(breaker.permit(at(1_711)), Permit::All);
    }
}
