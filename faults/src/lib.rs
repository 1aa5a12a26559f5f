//! Breaking the shop on purpose: processes of a build with failpoints under mixed load on the real three, one fault after
//! another, and after each the audit and the load's own journal as judges.
//! It knows the shop from outside: its commands, its HTTP API, the names of its failpoints. People and CI run it.

pub mod crash_loop;
mod firing;
mod fleet;
mod journal;
mod load;
mod operator;
pub mod planted;
pub mod points;
mod shopper;
pub mod soak;
pub mod table;
mod verify;
pub mod wire;

/// How long a broken run may take before a wait gives up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);
