//! The fault matrix (docs/FAULTS.md): each row breaks something under load, heals it, and holds what clients were told
//! against what the shop says afterwards. Tests that take long are ignored here and run by the full run (`--ignored`).
//! Each test starts what it breaks; only what nobody breaks is shared.

mod broker;
mod cluster;
mod database;
mod delivery;
mod disk;
mod ground;
mod load;
#[path = "../it/modes.rs"]
#[allow(
    unused,
    reason = "shared with the whole-shop tests, which use all of it"
)]
mod modes;
mod platform;
mod redis;
mod settle;
mod sigterm;
mod storm;
mod whole;
