//! When the next request is due: at once in a closed loop, at fixed instants in an open one.
//! It sends nothing; workers ask it for their turn.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

/// What is due at the end may still be sent for so long, so that the last instants are not lost to scheduling.
const GRACE: Duration = Duration::from_millis(250);

pub enum Turns {
    Closed {
        until: Instant,
    },
    /// A closed loop of so many requests.
    Counted {
        left: AtomicU64,
    },
    Open(Due),
}

impl Turns {
    /// When the request was to start, from where its latency counts; `None`: the load is over.
    pub async fn next(&self) -> Option<Instant> {
        match self {
            Turns::Closed { until } => {
                let now = Instant::now();
                (now < *until).then_some(now)
            }
            Turns::Counted { left } => {
                let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                });
                taken.is_ok().then(Instant::now)
            }
            Turns::Open(due) => due.next().await,
        }
    }
}

/// Instants `begun + n * interval`, handed out in order to whichever connection is free.
pub struct Due {
    begun: Instant,
    interval: Duration,
    total: u64,
    next: AtomicU64,
    /// One for each instant that has passed.
    passed: Semaphore,
}

impl Due {
    pub fn new(begun: Instant, per_second: f64, length: Duration) -> Due {
        Due {
            begun,
            interval: Duration::from_secs_f64(1.0 / per_second),
            total: (per_second * length.as_secs_f64()).floor() as u64,
            next: AtomicU64::new(0),
            passed: Semaphore::new(0),
        }
    }

    fn at(&self, number: u64) -> Instant {
        self.begun + Duration::from_secs_f64(self.interval.as_secs_f64() * number as f64)
    }

    /// How many instants have passed.
    fn passed_by(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.begun).as_secs_f64();
        let passed = (since / self.interval.as_secs_f64()).floor() as u64 + 1;
        passed.min(self.total)
    }

    async fn next(&self) -> Option<Instant> {
        self.passed.acquire().await.ok()?.forget();
        let end = self.at(self.total) + GRACE;
        if self.next.load(Ordering::Relaxed) >= self.total || Instant::now() > end {
            return None;
        }
        Some(self.at(self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// Lets instants pass until the last; then nobody waits any more.
    pub async fn run(&self, workers: usize) -> io::Result<()> {
        let timer = Timer::new()?;
        let mut released = 0;
        while released < self.total {
            let passed = self.passed_by(Instant::now());
            self.passed
                .add_permits(usize::try_from(passed - released).unwrap_or(0));
            released = passed;
            if released < self.total {
                timer.until(self.at(released)).await?;
            }
        }
        self.passed.add_permits(workers);
        Ok(())
    }

    /// How long each request that found no connection had waited by now.
    pub fn unsent(&self, now: Instant) -> impl Iterator<Item = Duration> {
        let taken = self.next.load(Ordering::Relaxed).min(self.total);
        (taken..self.total).map(move |number| now.saturating_duration_since(self.at(number)))
    }
}

/// The runtime's own timers are a millisecond apart, which would be seen in the latencies.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn new() -> io::Result<Timer> {
        // SAFETY: a plain system call; its result is checked before it is owned.
        let fd = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: an `OwnedFd` keeps the same open descriptor until it is dropped.
        let fd = unsafe { AsyncFd::register(fd) };
        Ok(Timer(fd?))
    }

    async fn until(&self, at: Instant) -> io::Result<()> {
        // Zero would switch the timer off.
        let left = at
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let none = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spec = libc::itimerspec {
            it_interval: none,
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        let fd = self.0.as_raw_fd();
        // SAFETY: the descriptor is open and both structures outlive the call.
        if unsafe { libc::timerfd_settime(fd, 0, &spec, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0_u8; 8];
            // SAFETY: the buffer is as long as is said.
            let read = unsafe { libc::read(fd, expirations.as_mut_ptr().cast(), 8) };
            if read == 8 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_counted_load_ends_with_its_last_request() {
        let turns = Turns::Counted {
            left: AtomicU64::new(2),
        };
        assert!(turns.next().await.is_some());
        assert!(turns.next().await.is_some());
        assert!(turns.next().await.is_none());
        assert!(turns.next().await.is_none());
    }

    #[tokio::test]
    async fn instants_are_handed_out_in_order_and_counted() {
        let begun = Instant::now();
        let due = Due::new(begun, 1_000.0, Duration::from_millis(50));
        assert_eq!(due.total, 50);
        let (ran, mut seen) = (due.run(1), Vec::new());
        let take = async {
            while let Some(at) = due.next().await {
                assert!(Instant::now() >= at, "nothing is sent before it is due");
                seen.push(at);
            }
        };
        let (ran, ()) = tokio::join!(ran, take);
        ran.unwrap();
        assert_eq!(seen.len(), 50);
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(due.unsent(Instant::now()).count(), 0);
    }

    #[test]
    fn what_nobody_took_is_unsent_with_its_wait() {
        let begun = Instant::now();
        let due = Due::new(begun, 10.0, Duration::from_secs(1));
        assert_eq!(due.passed_by(begun), 1);
        assert_eq!(due.passed_by(begun + Duration::from_millis(250)), 3);
        assert_eq!(due.passed_by(begun + Duration::from_secs(9)), 10);
        let waits: Vec<_> = due.unsent(begun + Duration::from_secs(2)).collect();
        assert_eq!(waits.len(), 10);
        assert_eq!(waits[0], Duration::from_secs(2));
    }
}
