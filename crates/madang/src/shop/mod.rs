//! The shop put together from the settings: database, event log, and what the roles and commands share.
//! The only place that knows which adapter stands behind a port. Nothing runs here; roles do.

mod arrival;
mod audit;
mod boot;
mod consumers;
mod coupons;
mod dependencies;
mod features;
mod follow_ups;
mod log;
mod ranking;
mod seed;
mod topics;

use std::sync::Arc;

use anyhow::Context;
use commerce::http::auth::KeySet;
use messaging::log::EventLog;
use messaging::outbox::relay::Wake;
use stores::redis::Redis;
use stores::sql::Database;

pub use audit::{Report, audit, repair_boards};
pub use boot::{migrate, open_log, topics_ready};
pub use consumers::{Name, settings as consumer_settings};
pub use coupons::scheduler as coupon_scheduler;
pub use dependencies::dependencies;
pub use features::Features;
use features::Ground;
pub use log::Log;
pub use seed::{Fill, fill};
pub use topics::{create as create_topics, dead_letter_places};

use crate::config::Config;
use crate::steps::{self, Hand};

/// Everything that is shared by the roles of a process. Opening it reaches no server: start order does not matter.
pub struct Shop {
    pub config: Config,
    pub database: Database,
    /// `None`: `events.publisher = "inline"`, there is no log.
    pub log: Option<Log>,
    /// `None`: the embedded queue and board.
    pub redis: Option<Redis>,
    pub wake: Wake,
    pub features: Features,
    /// Of the issuer at `auth.jwks_url`, kept fresh by the role `api`.
    pub issuer_keys: KeySet,
}

impl Shop {
    /// # Errors
    /// A setting that only its own engine can judge, or the embedded database's file cannot be opened.
    pub async fn open(config: Config) -> anyhow::Result<Arc<Self>> {
        let database = Database::connect(&database_settings(&config))
            .await
            .context("cannot open the database (setting database.url)")?;
        let log = log::open(&config, &database)?;
        let redis = open_redis(&config)?;
        let wake = Wake::new(config.outbox.shards, config.outbox.handed_max);
        let features = features::build(&Ground {
            config: &config,
            database: &database,
            redis: redis.as_ref(),
            wake: &wake,
        })?;
        Ok(Arc::new(Self {
            config,
            database,
            log,
            redis,
            wake,
            features,
            issuer_keys: KeySet::default(),
        }))
    }

    /// The log as a port.
    pub fn event_log(&self) -> Option<Arc<dyn EventLog>> {
        self.log.as_ref().map(Log::port)
    }

    /// The log in the hands of a role.
    pub fn event_log_of(&self, hand: Hand) -> Option<Arc<dyn EventLog>> {
        self.event_log().map(|log| steps::log(log, hand))
    }
}

fn open_redis(config: &Config) -> anyhow::Result<Option<Redis>> {
    let redis = &config.redis;
    if redis.url.is_empty() {
        return Ok(None);
    }
    let settings = stores::redis::Settings {
        url: redis.url.clone(),
        response_timeout_ms: redis.response_timeout_ms,
        connect_timeout_ms: redis.connect_timeout_ms,
        pipeline_max: redis.pipeline_max,
    };
    Ok(Some(Redis::connect(&settings)?))
}

fn database_settings(config: &Config) -> stores::sql::Settings {
    let database = &config.database;
    stores::sql::Settings {
        url: database.url.clone(),
        connections_max: database.connections_max,
        writer_connections_max: database.writer_connections_max,
        acquire_timeout_ms: database.acquire_timeout_ms,
        statement_cache: database.statement_cache,
        attempts_max: database.attempts_max,
        busy_timeout_ms: database.busy_timeout_ms,
        cache_kib: database.cache_kib,
        shared_flush_max: database.shared_flush_max,
        checkpoint_transactions: database.checkpoint_transactions,
    }
}
