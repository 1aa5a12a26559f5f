//! `madang config`: the settings in force, each with its origin; or the commented defaults.

use std::io::Write;

use crate::config::{DEFAULT_TOML, Flags, load, rows, to_json};

#[derive(clap::Args)]
pub struct Args {
    /// Print the commented default file instead.
    #[arg(long)]
    default: bool,
    /// For programs: {"name": {"value": ..., "origin": ...}}.
    #[arg(long, conflicts_with = "default")]
    json: bool,
}

pub fn run(args: &Args, flags: &Flags) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.default {
        out.write_all(DEFAULT_TOML.as_bytes())?;
        return Ok(());
    }
    let rows = rows(&load(flags)?);
    if args.json {
        writeln!(out, "{:#}", to_json(&rows))?;
        return Ok(());
    }
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (format!("{} = {}", row.name, row.value), &row.origin))
        .collect();
    let width = shown
        .iter()
        .map(|(text, _)| text.len())
        .filter(|width| *width < 70)
        .max();
    for (text, origin) in shown {
        writeln!(
            out,
            "{text:<width$}  # {origin}",
            width = width.unwrap_or(0)
        )?;
    }
    Ok(())
}
