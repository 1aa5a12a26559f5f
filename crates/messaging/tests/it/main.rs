//! The event log's contract on both adapters, and what each adapter promises beyond it.
//! Tests that need a real Kafka have `kafka` in their names.

mod bed;
mod consumer;
mod contract;
mod embedded_log;
mod kafka_log;
mod writer;
