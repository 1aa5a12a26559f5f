//! The consumer runtime and the outbox relay on a log and a store that the test plays: rebalances, refusals, crashes, lost leases.
//! The clock is tokio's and stands still, so that waits take no time. The real adapters have their own contract suites.

mod consuming;
mod fake_log;
mod fake_store;
mod random;
mod rebalancing;
mod redriving;
mod relaying;
mod relaying_rows;
mod retrying;
mod shop;
