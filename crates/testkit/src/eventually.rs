//! Waiting for a condition with a deadline, in place of sleeping.
//! It asserts nothing about time: a deadline is how long a broken run may take, not how fast a good one must be.
//! Called by tests and by the readiness checks here.

use std::panic::Location;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

const POLL_MS: u64 = 10;

/// Calls `probe` until it returns `Ok`, and returns that value. An `Err` means "not yet" and should say what was seen.
///
/// ```no_run
/// # async fn depth() -> anyhow::Result<u64> { Ok(0) }
/// # async fn test() {
/// use std::time::Duration;
/// testkit::eventually(Duration::from_secs(10), "the outbox drains", async || {
///     let depth = depth().await?;
///     anyhow::ensure!(depth == 0, "depth {depth}");
///     Ok(())
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
/// After `deadline`, with `what`, the caller's place and what was seen last.
#[track_caller]
pub fn eventually<T>(
    deadline: Duration,
    what: &str,
    probe: impl AsyncFnMut() -> Result<T>,
) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        match within(deadline, probe).await {
            Ok(value) => value,
            Err(last) => panic!("{place}: not within {deadline:?}: {what}; last seen: {last:#}"),
        }
    }
}

/// As [`eventually`], but what was seen last comes back as the error.
pub(crate) async fn within<T>(
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    let mut last = anyhow!("nothing, the first look did not come back");
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(last);
        }
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen,
            Err(_) => return Err(last.context("the last look hung; before it")),
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_the_first_good_value() {
        let mut looks = 0;
        let seen = eventually(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            anyhow::ensure!(looks >= 3, "{looks} looks");
            Ok(looks)
        })
        .await;
        assert_eq!(seen, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "last seen: depth 7")]
    async fn says_what_it_saw_last() {
        eventually(
            Duration::from_millis(30),
            "the queue is empty",
            async || Err::<(), _>(anyhow!("depth 7")),
        )
        .await;
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_outlast_the_deadline() {
        let seen = within(Duration::from_millis(30), async || {
            std::future::pending::<Result<()>>().await
        })
        .await;
        assert!(seen.is_err());
    }
}
