//! The binary: one program in several roles, and the commands beside it.
//! The only place that wires adapters to ports; no rule of the shop is decided here.

mod auth;
mod cli;
mod config;
mod http;
mod readiness;
mod roles;
mod shop;
mod steps;
mod telemetry;

use std::process::ExitCode;

/// What one thread allocates another one frees, all day long. This allocator gives freed memory out again while it is still in the
/// processor's cache.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
