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

/// The system's allocator holds a busy shop up; this one does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
