//! `madang dlt redrive`: sends dead letters back. Ctrl-C stops between two records; whoever runs it again goes on there.

use std::io::Write;

use anyhow::bail;
use messaging::dead_letters::{Options, Place, Redriven, redrive};
use messaging::log::{Error, EventLog};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use crate::cli::stop;
use crate::config::Config;
use crate::shop;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Send nothing, say what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Also what has been redriven before. Whoever had its effect then counts it no second time.
    #[arg(long)]
    again: bool,
    /// Send so many at most.
    #[arg(long)]
    limit: Option<u64>,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate_per_second: u32,
    #[arg(long)]
    json: bool,
}

pub async fn run(args: &Args, config: &Config, log: &dyn EventLog) -> anyhow::Result<()> {
    let places = args.filter.places(config)?;
    let cancel = CancellationToken::new();
    stop::on_signal(cancel.clone())?;
    if !args.dry_run {
        // Nobody may have served this shop with settings that know the way back.
        shop::create_topics(log, config).await?;
    }
    let mut told = Vec::new();
    let mut left = args.limit;
    let mut ended = Ok(());
    for place in places {
        let options = Options {
            rate_per_second: args.rate_per_second,
            limit: left,
            again: args.again,
            dry_run: args.dry_run,
        };
        let mut progress = Redriven::default();
        let wanted = |record: &_| args.filter.wants(record);
        ended = redrive(log, &place, &options, wanted, &cancel, &mut progress).await;
        left = left.map(|left| left.saturating_sub(progress.sent));
        let stopped = progress.stopped;
        told.push((place, progress));
        match &ended {
            // A dry run of a shop that nobody has served yet.
            Err(Error::UnknownTopic(_)) if args.dry_run => ended = Ok(()),
            Err(_) => break,
            Ok(()) if stopped => break,
            Ok(()) => {}
        }
    }
    say(args, &told)?;
    let sent: u64 = told.iter().map(|(_, progress)| progress.sent).sum();
    if let Err(error) = ended {
        bail!("{sent} sent, then the log failed: {error}; run it again to go on");
    }
    if told.iter().any(|(_, progress)| progress.stopped) {
        bail!("stopped after {sent} were sent; run it again to go on");
    }
    let met: u64 = told.iter().map(|(_, progress)| met(args, progress)).sum();
    let named = args.filter.named() as u64;
    if args.limit.is_none() && met < named {
        bail!("{} of the {named} records named are not there", named - met);
    }
    Ok(())
}

/// Records that the filters let through.
fn met(args: &Args, progress: &Redriven) -> u64 {
    if args.again {
        progress.sent
    } else {
        progress.sent + progress.sent_before
    }
}

fn say(args: &Args, told: &[(Place, Redriven)]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let all: Vec<Value> = told
            .iter()
            .map(|(place, progress)| as_json(args, place, progress))
            .collect();
        return writeln!(out, "{:#}", Value::Array(all));
    }
    let word = if args.dry_run {
        "would be sent"
    } else {
        "sent"
    };
    let mut any = false;
    for (place, progress) in told {
        if met(args, progress) == 0 {
            continue;
        }
        any = true;
        writeln!(
            out,
            "{} -> {}: {} {word}, {} redriven before",
            place.topic, place.destination, progress.sent, progress.sent_before
        )?;
    }
    if !any {
        writeln!(out, "no dead letters")?;
    }
    Ok(())
}

fn as_json(args: &Args, place: &Place, progress: &Redriven) -> Value {
    json!({
        "deadLetterTopic": place.topic,
        "destination": place.destination,
        "group": place.group,
        "dryRun": args.dry_run,
        "sent": progress.sent,
        "redrivenBefore": progress.sent_before,
        "stopped": progress.stopped,
    })
}
