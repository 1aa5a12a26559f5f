//! The scenarios: what is sent, and what must be true afterwards for the figure to count.
//! How load is made is in `load`, where the shop comes from in `stage`. Each file holds one and its command line.

mod contest;
pub mod guard;
pub mod isolation;
pub mod joins;
pub mod orders;
pub mod rates;
pub mod steps;
mod traffic;
