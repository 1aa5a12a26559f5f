//! `madang ranking rebuild`: recounts every day's board from the orders, while events keep coming.

use std::io::Write;

use crate::config::Config;
use crate::shop::{self, Shop};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Recount the boards from the orders; events may keep coming.
    Rebuild {
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let Command::Rebuild { json } = command;
    let shop = Shop::open(config).await?;
    shop::migrate(&shop).await?;
    let rebuilt = shop.features.rankings.rebuild_all().await?;
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&rebuilt)?)?;
    } else {
        writeln!(
            out,
            "rebuilt {} days from {} sales and cancels",
            rebuilt.days, rebuilt.events
        )?;
    }
    Ok(())
}
