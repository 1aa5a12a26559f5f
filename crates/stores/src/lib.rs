//! The engines behind the shop's ports: SQL (MySQL, MariaDB, SQLite), Redis, and local adapters on SQLite.
//! No shop rule is decided here: an adapter loads, calls the decision it was given, and commits what was decided.
//! The binary builds these and hands them to the features as ports.

pub mod audit;
pub mod embedded;
pub mod joining;
pub mod migrations;
pub mod redis;
pub mod sql;
