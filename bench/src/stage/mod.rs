//! Where the shops under load come from: started here with their services and seeded, or addresses that were given. Ends what it
//! started. Scenarios ask a side whether it has caught up and whether it is sound.

mod grounds;
mod metrics;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::{ShopProcess, ShopSettings, Which};

pub use grounds::{Grounds, Seed, connection, in_roles, scrape, seed};
pub use metrics::{Behind, Metrics};

use crate::options::{Drive, Rivalry, loopback};

/// Fields are dropped in order: the shops go before their services.
pub struct Stage {
    pub sides: Vec<Side>,
    pub grounds: Option<Grounds>,
}

/// One of the shops that are held against each other.
pub struct Side {
    pub name: String,
    pub addresses: Vec<SocketAddr>,
    pub own: Option<Own>,
}

/// A shop that this program started: all its processes.
pub struct Own {
    pub shops: Vec<ShopProcess>,
    pub settings: ShopSettings,
}

impl Stage {
    pub async fn set(drive: &Drive, rivalry: &Rivalry, filled: &Seed) -> Result<Stage> {
        let Some(url) = &drive.url else {
            let which = if drive.embedded {
                Which::NONE
            } else {
                Which::ALL
            };
            let grounds = Grounds::prepare(&drive.ours, which).await?;
            return Stage::on(grounds, rivalry, filled).await;
        };
        ensure!(
            rivalry.rival.is_none(),
            "--rival is started beside a shop of ours: beside --url use --against"
        );
        let mut sides = vec![Side::foreign(url)?];
        if let Some(url) = &rivalry.against {
            sides.push(Side::foreign(url)?);
        }
        Ok(Stage {
            sides,
            grounds: None,
        })
    }

    /// Shops of ours on services that run already.
    pub async fn on(mut grounds: Grounds, rivalry: &Rivalry, filled: &Seed) -> Result<Stage> {
        let settings = grounds.settings().await?;
        let mut sides = vec![Side::start("ours", settings, filled).await?];
        if let Some(rival) = rivalry.rival {
            let settings = rival.settings(grounds.settings().await?);
            sides.push(Side::start("inline", settings, filled).await?);
        }
        if let Some(url) = &rivalry.against {
            sides.push(Side::foreign(url)?);
        }
        Ok(Stage {
            sides,
            grounds: Some(grounds),
        })
    }

    /// Waits until the side's follow-ups have nothing left; at once where the shop is not ours.
    pub async fn caught_up(&self, side: &Side) -> Result<Duration> {
        match (&side.own, &self.grounds) {
            (Some(own), Some(grounds)) => grounds.caught_up(&own.shops).await,
            _ => Ok(Duration::ZERO),
        }
    }

    /// Whether an audit was run, and it was clean.
    pub async fn audit(&self, side: &Side) -> Result<bool> {
        match (&side.own, &self.grounds) {
            (Some(own), Some(grounds)) => {
                let audit = grounds.audit(&own.settings).await;
                audit.with_context(|| side.name.clone())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl Side {
    fn foreign(url: &str) -> Result<Side> {
        Ok(Side {
            name: url.to_owned(),
            addresses: vec![loopback(url)?],
            own: None,
        })
    }

    /// A shop of one process, filled and started.
    pub async fn start(name: &str, settings: ShopSettings, filled: &Seed) -> Result<Side> {
        seed(&settings, filled).await?;
        let shop = settings.start().await?;
        Side::of(name, settings, vec![shop])
    }

    /// A shop whose processes run already.
    pub fn of(name: &str, settings: ShopSettings, shops: Vec<ShopProcess>) -> Result<Side> {
        let addresses = shops.iter().map(address).collect::<Result<_>>()?;
        Ok(Side {
            name: name.to_owned(),
            addresses,
            own: Some(Own { shops, settings }),
        })
    }

    /// Of a shop of ours; a foreign one's are not known.
    pub async fn metrics(&self) -> Result<Option<Metrics>> {
        match &self.own {
            Some(own) => scrape(&own.shops).await.map(Some),
            None => Ok(None),
        }
    }
}

pub fn address(shop: &ShopProcess) -> Result<SocketAddr> {
    loopback(shop.base_url())
}
