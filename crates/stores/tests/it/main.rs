//! The contract suites of the stores: each is written once and run on every engine behind its port.
//! No shop rule is tested here beyond what a store must keep. Tests that need MariaDB have `mysql` in their names.

mod analytics;
mod audit;
mod backends;
mod catalogue;
mod checkpoints;
mod coupon_queue;
mod coupon_shop;
mod coupons;
mod first_notes;
mod idempotency;
mod notes;
mod orders;
mod outbox;
mod ranking;
mod relay;
mod transaction;
mod wallet;
