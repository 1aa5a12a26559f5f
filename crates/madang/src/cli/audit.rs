//! `madang audit`: whether the shop's stores agree; 0 when they do, 1 with every difference named.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use stores::audit::Check;

use crate::config::Config;
use crate::shop::{self, Report, Shop};

#[derive(clap::Args)]
pub struct Args {
    /// Wait at most so long until all has arrived that is on its way now, and all agrees. The shop may be busy meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Rebuild what differs and can be rebuilt, and look again. Money, stock and issued coupons are never touched.
    #[arg(long, value_enum)]
    repair: Option<Repair>,
    /// Checks that run at the same time. More of them end sooner, and take more of the database from a busy shop.
    #[arg(long, value_name = "CHECKS", default_value_t = 2)]
    at_once: usize,
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Repair {
    /// Boards of days that differ, recounted from the orders.
    Boards,
}

pub async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let shop = Shop::open(config).await?;
    shop::migrate(&shop).await?;
    let wait = Duration::from_secs(args.wait);
    let report = match args.repair {
        None => shop::audit(&shop, wait, args.at_once).await?,
        Some(Repair::Boards) => shop::repair_boards(&shop, wait, args.at_once).await?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report, &mut out)?;
    }
    if !report.clean {
        let pending = report.pending.len();
        bail!(
            "{} differences, {pending} things on their way",
            report.differences
        );
    }
    Ok(())
}

fn print(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    for line in &report.repaired {
        writeln!(out, "repaired {line}")?;
    }
    for line in &report.pending {
        writeln!(out, "pending  {line}")?;
    }
    for check in &report.checks {
        let Check {
            invariant,
            name,
            examined,
            differences,
            ..
        } = check;
        let verdict = match differences {
            0 => "ok".to_owned(),
            count => format!("{count} DIFFER"),
        };
        writeln!(
            out,
            "{invariant}  {verdict:<9}  {name} ({examined} examined)"
        )?;
        for one in &check.listed {
            writeln!(
                out,
                "      {}: expected {}, found {}",
                one.subject, one.expected, one.found
            )?;
        }
        let unlisted = differences.saturating_sub(check.listed.len() as u64);
        if unlisted > 0 {
            writeln!(out, "      and {unlisted} more")?;
        }
        for remark in &check.remarks {
            writeln!(out, "      note: {remark}")?;
        }
    }
    if report.clean {
        writeln!(out, "clean")?;
    }
    Ok(())
}
