//! `madang dlt`: dead letters. Looks at them and sends them back; they stay in their topics for as long as those keep them.
//! What a dead letter is, and its way back, is `messaging::dead_letters`.

mod filter;
mod headers;
mod list;
mod redrive;
mod show;

use crate::config::Config;
use crate::shop::{self, Shop};

#[derive(clap::Subcommand)]
pub enum Command {
    /// How many there are in each dead-letter topic, of which causes, how old, and how many have not been redriven.
    List(list::Args),
    /// The records, with why and where they failed.
    Show(show::Args),
    /// Send them back to the group that failed them, once: what has been sent before is left out.
    Redrive(redrive::Args),
}

pub async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let shop = Shop::open(config).await?;
    let log = shop::open_log(&shop).await?;
    match command {
        Command::List(args) => list::run(&args, &shop.config, log.as_ref()).await,
        Command::Show(args) => show::run(&args, &shop.config, log.as_ref()).await,
        Command::Redrive(args) => redrive::run(&args, &shop.config, log.as_ref()).await,
    }
}
