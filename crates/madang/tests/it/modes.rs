//! The two modes a shop is tested in: on nothing at all, and on Kafka, MariaDB and Redis.
//! A shop on the shared services has a database, topics, groups and a Redis of its own.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use testkit::{Redis, ShopSettings, shared};

/// How to start shops that share one set of services; the services live as long as this.
pub struct Place {
    pub settings: ShopSettings,
    _redis: Option<Redis>,
}

pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_madang")
}

/// Settings for a shop or a command on the embedded default.
pub fn embedded() -> ShopSettings {
    ShopSettings::new(binary()).expect("a folder for the shop")
}

/// As [`embedded`], where neither a busy machine nor the time of day changes what a test sees: nothing is given up early, and
/// it is about noon in the shop's time zone, so that what it sells today stays today's for as long as the test runs.
pub fn steady() -> ShopSettings {
    let hour = TimeZone::UTC.to_datetime(Timestamp::now()).hour();
    // The signs of these names are the other way round.
    let zone = match 12 - hour {
        0 => "UTC".to_owned(),
        east @ 1.. => format!("Etc/GMT-{east}"),
        west => format!("Etc/GMT+{}", -west),
    };
    let mut settings = embedded().env("MADANG_SHOP__TIME_ZONE", zone);
    for name in [
        "HTTP__REQUEST_TIMEOUT_MS",
        "DATABASE__ACQUIRE_TIMEOUT_MS",
        "DATABASE__BUSY_TIMEOUT_MS",
        "REDIS__RESPONSE_TIMEOUT_MS",
        "REDIS__CONNECT_TIMEOUT_MS",
        "KAFKA__REQUEST_TIMEOUT_MS",
        "ORDERS__BATCH_TIMEOUT_MS",
    ] {
        settings = settings.env(format!("MADANG_{name}"), "50000");
    }
    settings
}

/// On the real three; `None`: they cannot be had, and that has been said.
pub async fn real() -> Option<Result<Place>> {
    let mariadb = shared::mariadb().await?;
    let kafka = shared::kafka().await?;
    let redis = shared::redis().await?;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let suffix = format!("{}-{number}", std::process::id());
    let place = async {
        let database = mariadb.create_database(&suffix.replace('-', "_")).await?;
        let settings = steady()
            .env("MADANG_DATABASE__URL", database)
            .env("MADANG_REDIS__URL", redis.url())
            .env("MADANG_KAFKA__BROKERS", kafka.address())
            .env(
                "MADANG_AUTH__HMAC_SECRET",
                "a secret that tests share, 32 bytes",
            )
            .apart(&format!("{suffix}-"));
        Ok(settings)
    };
    Some(place.await.map(|settings| Place {
        settings,
        _redis: Some(redis),
    }))
}
