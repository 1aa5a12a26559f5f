//! The services of a run and the shops that are started on them: each with a database, a Redis database, topics and groups of
//! its own, so that two can be held against each other on the same services. Scenarios that move processes about use it directly.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use testkit::{Services, ShopProcess, ShopSettings, Which};

use super::metrics::Metrics;
use crate::options::Ours;
use crate::processor::Meter;

/// The shop's gauges of outbox and lag are read so often, which is how exact "caught up after" can be.
const GAUGES_MS: u64 = 1_000;
/// The audit itself, beside what it waits for: minutes with ten million orders.
const AUDIT_MAX: Duration = Duration::from_secs(1_800);
const LOOK_MS: u64 = 50;
const OPENING_WAIT_MS: u64 = 5_000;

/// What `madang seed` fills a shop with.
#[derive(Clone, Copy)]
pub struct Seed {
    pub users: u64,
    pub products: u64,
    pub stock: u64,
    pub price: u64,
    pub balance: u64,
    pub coupons: u64,
    pub quota: u64,
}

pub struct Grounds {
    pub services: Services,
    binary: PathBuf,
    ours: Ours,
    shops: u32,
}

impl Grounds {
    pub async fn prepare(ours: &Ours, which: Which) -> Result<Grounds> {
        let binary = match &ours.madang {
            Some(path) => path
                .canonicalize()
                .with_context(|| format!("--madang {}", path.display()))?,
            None => beside()?,
        };
        Ok(Grounds {
            services: Services::start_for_load(which).await?,
            binary,
            ours: ours.clone(),
            shops: 0,
        })
    }

    pub fn is_embedded(&self) -> bool {
        self.services.mariadb.is_none()
    }

    pub fn describe(&self) -> &'static str {
        if self.is_embedded() {
            "the embedded default (SQLite)"
        } else {
            "MariaDB, Redis and Kafka, one process each"
        }
    }

    /// Of a new shop with empty stores, to be put under load.
    pub async fn settings(&mut self) -> Result<ShopSettings> {
        let for_load = [
            ("MADANG_OUTBOX__DEPTH_MS", GAUGES_MS),
            ("MADANG_CONSUMERS__LAG_MS", GAUGES_MS),
            // Loads hit a campaign at once; on a slow disk bringing it into the queue outlasts the default wait.
            ("MADANG_COUPON__OPENING_WAIT_MS", OPENING_WAIT_MS),
        ];
        self.with(&for_load).await
    }

    /// Of a new shop with empty stores, as it is shipped.
    pub async fn shipped_settings(&mut self) -> Result<ShopSettings> {
        self.with(&[]).await
    }

    async fn with(&mut self, changed: &[(&str, u64)]) -> Result<ShopSettings> {
        let number = self.shops;
        self.shops += 1;
        let mut settings = ShopSettings::new(&self.binary)?
            .quiet()
            .env("MADANG_AUTH__MODE", "off");
        for (name, value) in changed {
            settings = settings.env(*name, value.to_string());
        }
        if !self.is_embedded() {
            let database = self.services.mariadb().create_database("bench").await?;
            let redis = self.services.redis().url();
            settings = settings
                .env("MADANG_DATABASE__URL", database)
                .env("MADANG_REDIS__URL", format!("{redis}/{number}"))
                .env("MADANG_KAFKA__BROKERS", self.services.kafka().address());
        }
        if number > 0 {
            settings = settings.apart(&format!("shop-{number}-"));
        }
        for setting in &self.ours.settings {
            let (name, value) = setting.split_once('=').context("--set takes NAME=VALUE")?;
            settings = settings.env(name, value);
        }
        Ok(settings)
    }

    pub async fn madang_version(&self) -> Result<String> {
        let told = tokio::process::Command::new(&self.binary)
            .arg("--version")
            .output()
            .await
            .with_context(|| format!("{} --version", self.binary.display()))?;
        let text = String::from_utf8_lossy(&told.stdout);
        Ok(text.trim().trim_start_matches("madang ").to_owned())
    }

    pub fn meter<'a>(&self, shops: impl IntoIterator<Item = &'a ShopProcess>) -> Meter {
        let mut meter = Meter::default();
        for (i, shop) in shops.into_iter().enumerate() {
            let name = match i {
                0 => "shop".to_owned(),
                _ => format!("shop {}", i + 1),
            };
            meter.add(name, shop.pid());
        }
        let services = &self.services;
        let pids = [
            ("MariaDB", services.mariadb.as_ref().and_then(|it| it.pid())),
            ("Redis", services.redis.as_ref().and_then(|it| it.pid())),
            ("Kafka", services.kafka.as_ref().and_then(|it| it.pid())),
        ];
        for (name, pid) in pids {
            if let Some(pid) = pid {
                meter.add(name, pid);
            }
        }
        meter
    }

    /// What a SELECT of one number says in the shop's own database; `None` on the embedded default, whose file is the shop's.
    pub async fn number(&self, settings: &ShopSettings, select: &str) -> Result<Option<u64>> {
        let Some(text) = self.sql(settings, select).await? else {
            return Ok(None);
        };
        let number = text.trim().parse();
        number
            .map(Some)
            .with_context(|| format!("{select}: {text:?}"))
    }

    pub async fn sql(&self, settings: &ShopSettings, sql: &str) -> Result<Option<String>> {
        let Some(mariadb) = &self.services.mariadb else {
            return Ok(None);
        };
        let url = settings
            .value("MADANG_DATABASE__URL")
            .context("the shop's database")?;
        let (_, name) = url.rsplit_once('/').context("a database's address")?;
        mariadb
            .execute(&format!("USE `{name}`; {sql}"))
            .await
            .map(Some)
    }

    /// Waits until outbox, consumers and queues have nothing left; returns how long that took, to the gauges' second.
    pub async fn caught_up(&self, shops: &[ShopProcess]) -> Result<Duration> {
        let begun = Instant::now();
        let fresh = Duration::from_millis(GAUGES_MS + LOOK_MS);
        let mut first = None;
        loop {
            let behind = scrape(shops).await?.behind();
            if behind.is_nothing() {
                let since = *first.get_or_insert(begun.elapsed());
                // A gauge may be from before; what stays at nothing was nothing.
                if begun.elapsed() - since > fresh {
                    return Ok(since);
                }
            } else {
                first = None;
            }
            let most = Duration::from_secs(self.ours.catch_up_max_seconds);
            ensure!(
                begun.elapsed() < most,
                "the shop has not caught up after {most:?}: {}",
                behind.text()
            );
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// # Errors
    /// With what the audit printed, when it found a difference.
    pub async fn audit(&self, settings: &ShopSettings) -> Result<()> {
        let most_s = self.ours.catch_up_max_seconds;
        let deadline = Duration::from_secs(most_s) + AUDIT_MAX;
        let wait = most_s.to_string();
        let audit = ["audit", "--wait", &wait];
        let audit = settings.run_within(deadline, &audit).await?;
        if audit.code != 0 {
            bail!(
                "the audit found differences:\n{}{}",
                audit.stdout,
                audit.stderr
            );
        }
        Ok(())
    }
}

/// Of a process with these roles alone.
pub fn in_roles(settings: &ShopSettings, roles: &[&str]) -> ShopSettings {
    let with = |settings: ShopSettings, role: &&str| settings.arg("--role").arg(*role);
    roles.iter().fold(settings.clone(), with)
}

/// One connection to a shop's database, for statements that only this program makes.
pub async fn connection(url: &str) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await;
    database.context("a connection to the shop's database")
}

/// Fills the shop; it need not run.
pub async fn seed(settings: &ShopSettings, seed: &Seed) -> Result<()> {
    let mut arguments = vec!["seed".to_owned()];
    for (name, value) in [
        ("--users", seed.users),
        ("--products", seed.products),
        ("--stock", seed.stock),
        ("--price", seed.price),
        ("--balance", seed.balance),
        ("--coupons", seed.coupons),
        ("--quota", seed.quota.max(1)),
    ] {
        arguments.push(name.to_owned());
        arguments.push(value.to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = settings.run(&arguments).await?;
    ensure!(done.code == 0, "seeding: {}{}", done.stdout, done.stderr);
    Ok(())
}

/// Of all processes of one shop.
pub async fn scrape(shops: &[ShopProcess]) -> Result<Metrics> {
    let mut all = Metrics::default();
    for shop in shops {
        let answer = shop.client().get("/metrics").await?;
        ensure!(answer.status == 200, "/metrics answers {}", answer.status);
        all = all.and(Metrics::parse(&answer.text));
    }
    Ok(all)
}

/// `madang` in the folder of this program, where the same profile puts it.
fn beside() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("madang");
    ensure!(
        path.exists(),
        "{} is not there: build it in the same profile (cargo build --release -p madang) or name it with --madang",
        path.display()
    );
    Ok(path)
}
