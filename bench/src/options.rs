//! What the scenarios' command lines have in common: which shop, how hard it is driven, what it is held against.
//! Each scenario takes only those that it heeds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use testkit::ShopSettings;

use crate::load::{Load, Pace};

/// Of every scenario: the shop that it starts, and the report.
#[derive(Args, Clone)]
pub struct Ours {
    /// The binary to start; by default the one beside this program.
    #[arg(long)]
    pub madang: Option<PathBuf>,
    /// A setting for the shop it starts, NAME=VALUE as an environment variable. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
    /// How long the shop may take to catch up after a load before the run counts as failed.
    #[arg(long, default_value_t = 300)]
    pub catch_up_max_seconds: u64,
    /// The report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How hard the shop is driven.
#[derive(Args, Clone)]
pub struct Effort {
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Measured time of a run.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Load before the measured time, not counted.
    #[arg(long, default_value_t = 5)]
    pub warm_up_seconds: u64,
}

impl Effort {
    pub fn load(
        &self,
        addresses: Vec<SocketAddr>,
        per_second: Option<f64>,
        seconds: u64,
    ) -> Result<Load> {
        ensure!(
            self.threads >= 1 && self.threads <= self.connections,
            "--threads must be from 1 to --connections"
        );
        ensure!(
            self.connections <= 50_000,
            "--connections must be at most 50000"
        );
        if let Some(rate) = per_second {
            ensure!(
                rate.is_finite() && (1.0..=1e6).contains(&rate),
                "a rate must be from 1 to 1000000 a second"
            );
        }
        let length = Duration::from_secs(seconds);
        Ok(Load {
            addresses,
            connections: self.connections,
            threads: self.threads,
            pace: match per_second {
                None => Pace::Closed { length },
                Some(per_second) => Pace::Open { per_second, length },
            },
        })
    }
}

/// Of scenarios that drive one shop, wherever it comes from.
#[derive(Args, Clone)]
pub struct Drive {
    #[command(flatten)]
    pub ours: Ours,
    #[command(flatten)]
    pub effort: Effort,
    /// Measured runs after one warm-up; the figure is their median.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// An open loop: so many requests a second are due at fixed instants, and latency counts from there. Without it a closed loop.
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// Drive this shop (auth.mode = off, already seeded) instead of starting one.
    #[arg(long, conflicts_with_all = ["madang", "settings"])]
    pub url: Option<String>,
    /// Start the shop on its embedded default instead of Kafka, MariaDB and Redis.
    #[arg(long, conflicts_with = "url")]
    pub embedded: bool,
}

impl Drive {
    /// A closed loop on a shop of ours, for scenarios that set their stage themselves.
    pub fn closed(ours: &Ours, effort: &Effort, runs: usize) -> Drive {
        Drive {
            ours: ours.clone(),
            effort: effort.clone(),
            runs,
            rate: None,
            url: None,
            embedded: false,
        }
    }
}

/// Of scenarios that set two sides against each other in a closed loop and know themselves which.
#[derive(Args, Clone)]
pub struct Pairs {
    #[command(flatten)]
    pub ours: Ours,
    #[command(flatten)]
    pub effort: Effort,
    /// Pairs of measured runs.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
}

impl Pairs {
    pub fn drive(&self) -> Drive {
        Drive::closed(&self.ours, &self.effort, self.runs)
    }
}

/// What is driven beside the shop, alternately, in the same run of this program.
#[derive(Args, Clone, Default)]
pub struct Rivalry {
    /// Start a second shop that works another way, on the same services with stores of its own.
    #[arg(long, value_enum)]
    pub rival: Option<Rival>,
    /// Drive this address too, which speaks the same API (auth off, seeded by its owner).
    #[arg(long, value_name = "URL", conflicts_with = "rival")]
    pub against: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rival {
    /// Each follow-up inside the request, each coupon in a locked transaction: as before events.
    Inline,
}

impl Rival {
    /// Of a shop that works this way.
    pub fn settings(self, shop: ShopSettings) -> ShopSettings {
        match self {
            Rival::Inline => shop
                .env("MADANG_EVENTS__PUBLISHER", "inline")
                .env("MADANG_COUPON__ISSUE", "direct"),
        }
    }
}

/// The address behind a URL, which must be on this machine.
pub fn loopback(url: &str) -> Result<SocketAddr> {
    let authority = url
        .strip_prefix("http://")
        .with_context(|| format!("{url:?} must begin with http://"))?
        .trim_end_matches('/')
        .replace("localhost:", "127.0.0.1:");
    let address: SocketAddr = authority
        .parse()
        .with_context(|| format!("{url:?} must be http://ADDRESS:PORT"))?;
    ensure!(
        address.ip().is_loopback(),
        "{url:?} is not on loopback: load is made on this machine only"
    );
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_driven() {
        assert!(loopback("http://127.0.0.1:8083").is_ok());
        assert!(loopback("http://localhost:8083/").is_ok());
        for url in [
            "127.0.0.1:1",
            "http://10.0.0.1:80",
            "https://127.0.0.1:1",
            "http://a:1",
        ] {
            assert!(loopback(url).is_err(), "{url}");
        }
    }
}
