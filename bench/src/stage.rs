//! Where the shop under load comes from: started here with its services (or on its embedded default) and seeded, or an
//! address that was given. Ends what it started. Scenarios ask it whether the shop has caught up and whether it is sound.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use testkit::{Services, ShopProcess, ShopSettings, Which};

use crate::Drive;

const CATCH_UP_S: &str = "120";

pub struct Seed {
    pub users: u64,
    pub products: u64,
    pub stock: u64,
    pub price: u64,
    pub balance: u64,
    pub coupons: u64,
    pub quota: u64,
}

pub struct Stage {
    authority: String,
    describe: String,
    own: Option<Own>,
}

/// The shop goes before its services: fields are dropped in order.
struct Own {
    shop: ShopProcess,
    services: Services,
}

impl Stage {
    pub async fn set(how: &Drive, seed: &Seed) -> Result<Self> {
        if let Some(url) = &how.url {
            let authority = url
                .strip_prefix("http://")
                .context("--url must begin with http://")?
                .trim_end_matches('/');
            ensure!(
                authority.starts_with("127.") || authority.starts_with("localhost:"),
                "--url must be on loopback"
            );
            return Ok(Self {
                authority: authority.to_owned(),
                describe: format!("{url}, seeded by its owner"),
                own: None,
            });
        }
        let mut services = Services::start(if how.embedded {
            Which::NONE
        } else {
            Which::ALL
        })
        .await?;
        let settings = settings(how, &mut services).await?;
        settings
            .run(
                &seed
                    .arguments()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            )
            .await?
            .expect_success();
        let shop = settings.start().await?;
        Ok(Self {
            authority: shop.base_url().trim_start_matches("http://").to_owned(),
            describe: if how.embedded {
                "the embedded default".to_owned()
            } else {
                "MariaDB, Redis and Kafka with their default durability".to_owned()
            },
            own: Some(Own { shop, services }),
        })
    }

    /// Those that this program started.
    pub fn services(&mut self) -> Result<&mut Services> {
        let own = self.own.as_mut().context("a shop of our own")?;
        Ok(&mut own.services)
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub fn describe(&self) -> String {
        self.describe.clone()
    }

    /// `madang_outbox_oldest_age_seconds` of the shop's `/metrics`.
    pub async fn oldest_outbox_age_s(&self) -> Option<f64> {
        let own = self.own.as_ref()?;
        let metrics = own.shop.client().get("/metrics").await.ok()?;
        metrics
            .text
            .lines()
            .find_map(|line| line.strip_prefix("madang_outbox_oldest_age_seconds "))
            .and_then(|value| value.trim().parse().ok())
    }

    /// Waits until outbox and consumers have nothing left.
    pub async fn caught_up(&self) -> Result<()> {
        if let Some(own) = &self.own {
            let audit = own
                .shop
                .settings()
                .run(&["audit", "--wait", CATCH_UP_S])
                .await?;
            if audit.code != 0 {
                bail!(
                    "the audit found differences:\n{}{}",
                    audit.stdout,
                    audit.stderr
                );
            }
        }
        Ok(())
    }

    pub async fn audit(&self) -> Result<Option<bool>> {
        match &self.own {
            None => Ok(None),
            Some(_) => self.caught_up().await.map(|()| Some(true)),
        }
    }
}

impl Seed {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["seed".to_owned()];
        for (name, value) in [
            ("--users", self.users),
            ("--products", self.products),
            ("--stock", self.stock),
            ("--price", self.price),
            ("--balance", self.balance),
            ("--coupons", self.coupons),
            ("--quota", self.quota),
        ] {
            arguments.push(name.to_owned());
            arguments.push(value.to_string());
        }
        arguments
    }
}

async fn settings(how: &Drive, services: &mut Services) -> Result<ShopSettings> {
    let binary = match &how.madang {
        Some(path) => path.clone(),
        None => beside()?,
    };
    let mut settings = ShopSettings::new(binary)?.env("MADANG_AUTH__MODE", "off");
    if !how.embedded {
        let database = services.mariadb().create_database("bench").await?;
        settings = settings
            .env("MADANG_DATABASE__URL", database)
            .env("MADANG_REDIS__URL", services.redis().url())
            .env("MADANG_KAFKA__BROKERS", services.kafka().address());
    }
    for setting in &how.settings {
        let (name, value) = setting.split_once('=').context("--set takes NAME=VALUE")?;
        settings = settings.env(name, value);
    }
    Ok(settings)
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
