//! How a command ends: its exit code, and one line on stderr that says why.

use std::io::ErrorKind;
use std::process::ExitCode;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Done, failed, or a reader that went away (`| head`), which is no failure.
pub fn code(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<crate::config::Error>() {
            Some(settings) => usage(settings),
            None => {
                eprintln!("madang: {error:#}");
                ExitCode::from(FAILED)
            }
        },
    }
}

pub fn usage(error: &crate::config::Error) -> ExitCode {
    eprintln!("madang: {error}");
    ExitCode::from(WRONG_USAGE)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    })
}
