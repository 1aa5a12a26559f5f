//! Local adapters on SQLite, for a shop that runs on nothing at all: the ports that Redis serves elsewhere.
//! The binary builds these where `redis.url` is empty.

pub mod queue;
