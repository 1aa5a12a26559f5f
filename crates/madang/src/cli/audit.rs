//! `madang audit`: whether the shop's stores agree; 0 when they do, 1 with every difference named.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;

use crate::config::Config;
use crate::shop::{self, Report, Shop};

#[derive(clap::Args)]
pub struct Args {
    /// Wait at most so long until outbox, topics and coupon queue have drained and all agrees.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let shop = Shop::open(config).await?;
    shop::migrate(&shop).await?;
    let report = shop::audit(&shop, Duration::from_secs(args.wait)).await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report, &mut out)?;
    }
    if !report.clean {
        bail!(
            "{} differences, {} things still on their way",
            report.differences.len(),
            report.pending.len()
        );
    }
    Ok(())
}

fn print(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    for (what, lines) in [
        ("DIFFERENCE", &report.differences),
        ("pending", &report.pending),
        ("note", &report.notes),
    ] {
        for line in lines {
            writeln!(out, "{what}  {line}")?;
        }
    }
    if report.clean {
        let Report {
            orders_checked,
            days_compared,
            ..
        } = report;
        writeln!(
            out,
            "clean: {orders_checked} orders, {days_compared} boards; stock, coupons, money, events and rankings agree"
        )?;
    }
    Ok(())
}
