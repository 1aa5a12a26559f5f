//! The scenarios: what is sent, and what must be true afterwards for the figure to count.
//! How load is made is in `load`, where the shop comes from in `stage`. Each file holds one and its command line.

pub mod consumers;
mod contest;
pub mod flash_sale;
pub mod growth;
pub mod guard;
pub mod isolation;
pub mod joins;
pub mod limit;
pub mod mixed;
pub mod orders;
pub mod polls;
pub mod rates;
pub mod reads;
pub mod relay;
pub mod soak;
pub mod start;
pub mod steps;
pub mod streams;
mod traffic;
pub mod two_apis;
