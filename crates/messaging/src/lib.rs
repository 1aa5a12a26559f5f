//! How events move: the event log port with its two adapters, the outbox relay, the consumer runtime, dead letters.
//! It knows bytes, keys, headers, offsets and leases, and no word of what the shop sells.
//! `commerce` writes handlers and events against it; `stores` and the binary wire it.

pub mod backoff;
pub mod consumer;
pub mod dead_letters;
pub mod embedded;
pub mod envelope;
pub mod failpoint;
pub mod kafka;
pub mod log;
pub mod outbox;
pub mod partitioner;
pub mod record;
