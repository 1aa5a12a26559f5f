//! The shop as its users meet it: the real binary over HTTP and Kafka, on the embedded default and on the real three.
//! Nothing here looks inside the process.

pub mod stage;

mod audits;
mod backlog;
mod bad_input;
mod callers;
mod catalogue;
mod counters;
mod coupons;
mod crash;
mod dead_letters;
mod flash_sale;
mod foreign;
mod million;
mod orders;
mod processes;
mod refusals;
mod repeats;
mod steps;
mod traces;
mod wallet;
