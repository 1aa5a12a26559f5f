//! What Redis does elsewhere, done in the shop's own database, for a shop that runs on nothing else. Same ports, same
//! contract suites. The binary builds these where `redis.url` is empty.

pub mod board;
pub mod queue;
