//! The command line: what may be asked, and which file answers. Exit codes: 0 done, 1 it failed, 2 wrong usage.
//! Each command is a file beside this one with one `run`.

mod audit;
mod config;
mod consume;
mod demo;
mod dlt;
mod exit;
mod lock;
mod outbox;
mod produce;
mod ranking;
mod records;
mod seed;
mod serve;
mod stop;
mod token;
mod topics;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, Flags, load};
use crate::steps;
use crate::telemetry;

#[derive(Parser)]
#[command(
    name = "madang",
    version,
    about = "An event-driven shop: catalogue, wallet, orders, first-come coupons, rankings",
    after_help = "Begin with `madang serve --demo`. Settings: --config FILE, or the environment (MADANG_DATABASE__URL, \
                  MADANG_REDIS__URL, MADANG_KAFKA__BROKERS, ...); `madang config --default` lists all."
)]
struct Cli {
    /// A TOML file with settings.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the shop.
    Serve(serve::Args),
    /// Fill the shop with numbered users, products and coupons.
    Seed(seed::Args),
    /// Check that the stores agree: stock, coupons, money, events, rankings.
    Audit(audit::Args),
    /// Print a signed token for trying things out.
    Token(token::Args),
    /// Print the settings in force and where each came from, secrets masked.
    Config(config::Args),
    /// The ranking boards.
    #[command(subcommand)]
    Ranking(ranking::Command),
    /// Look at topics, create and delete them.
    #[command(subcommand)]
    Topics(topics::Command),
    /// Read records from stdin, one a line, into a topic.
    Produce(produce::Args),
    /// Print the records of a topic.
    Consume(consume::Args),
    /// Look at what has been committed and not published yet.
    #[command(subcommand)]
    Outbox(outbox::Command),
    /// Look at dead letters and send them back to the group that failed them.
    #[command(subcommand)]
    Dlt(dlt::Command),
}

/// Parses, runs, and turns how it ended into an exit code.
pub fn main() -> ExitCode {
    steps::arm_from_environment();
    // clap ends wrong usage with 2, --help and --version with 0.
    let cli = Cli::parse();
    let Some(command) = cli.command else {
        // Whether the explanation could be printed is nobody's concern.
        let _ = Cli::command().print_long_help();
        return ExitCode::SUCCESS;
    };
    let flags = Flags {
        file: cli.config,
        listen: match &command {
            Command::Serve(serve) => serve.listen.clone(),
            _ => None,
        },
    };
    if let Command::Config(args) = &command {
        return exit::code(config::run(args, &flags));
    }
    let config = match load(&flags) {
        Ok(loaded) => loaded.config,
        Err(error) => return exit::usage(&error),
    };
    exit::code(run(command, config))
}

fn run(command: Command, config: Config) -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("another TLS provider is installed");
    }
    let traces = telemetry::install(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(args, config).await,
            Command::Seed(args) => seed::run(args, config).await,
            Command::Audit(args) => audit::run(args, config).await,
            Command::Token(args) => token::run(&args, &config),
            Command::Ranking(command) => ranking::run(command, config).await,
            Command::Topics(command) => topics::run(command, config).await,
            Command::Produce(args) => produce::run(args, config).await,
            Command::Consume(args) => consume::run(args, config).await,
            Command::Outbox(command) => outbox::run(command, config).await,
            Command::Dlt(command) => dlt::run(command, config).await,
            // Answered before the settings were loaded.
            Command::Config(_) => Ok(()),
        }
    });
    // Blocking reads of stdin cannot be cancelled: they are left behind.
    runtime.shutdown_background();
    traces.shut_down();
    ended
}
