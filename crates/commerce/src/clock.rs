//! Time, passed in: one instant a decision, whole microseconds since the epoch.
//! MySQL rounds finer fractions and MariaDB cuts them, so the application cuts before anything is stored.

use jiff::Timestamp;

pub trait Clock: Send + Sync + 'static {
    /// Now, cut to the microsecond.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        cut(Timestamp::now())
    }
}

/// Cuts what is finer than a microsecond.
#[must_use]
pub fn cut(time: Timestamp) -> Timestamp {
    from_us(time.as_microsecond())
}

/// Microseconds since the epoch as an instant; what lies outside jiff's years -9999 to 9999 becomes the nearest end.
#[must_use]
pub fn from_us(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(if us < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
