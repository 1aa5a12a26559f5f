//! The ranking boards: one contract suite on the database's adapter (SQLite, MariaDB) and on Redis, and the service over them.
//! Tests that need Redis have `redis` in their names.

mod audited;
mod board;
mod expiry;
mod interleavings;
mod rebuild;
mod service;
mod stage;
