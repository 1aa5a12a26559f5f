//! The steps of a start that need a server: the schema, and the topics. Each waits for what is not there yet and fails for what
//! waiting cannot cure. Safe to run from several processes at once. `serve` and the commands call them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use messaging::log::{Error, EventLog};
use stores::sql;

use super::{Log, Shop, topics};
use crate::config::Config;

/// Between two tries while a server is away.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Brings the schema up to date, as soon as the database is there.
///
/// # Errors
/// The schema cannot be brought up to date, however long one waits.
pub async fn migrate(shop: &Shop) -> anyhow::Result<()> {
    loop {
        match migrate_once(shop).await {
            Ok(()) => return Ok(()),
            // Readiness says who is away.
            Err(sql::Error::Unavailable(_)) => tokio::time::sleep(RETRY_EVERY).await,
            Err(error) => {
                return Err(error).context("the database's schema could not be brought up to date");
            }
        }
    }
}

/// For commands: the log, ready to be asked.
///
/// # Errors
/// There is none with these settings, or the embedded one's file cannot be used.
pub async fn open_log(shop: &Shop) -> anyhow::Result<Arc<dyn EventLog>> {
    let Some(log) = &shop.log else {
        bail!("there is no log: events.publisher is inline");
    };
    if let Log::Embedded(log) = log {
        log.create_schema().await?;
    }
    Ok(log.port())
}

async fn migrate_once(shop: &Shop) -> Result<(), sql::Error> {
    shop.database.migrate().await?;
    if let Some(Log::Embedded(log)) = &shop.log {
        let created = log.create_schema().await;
        created.map_err(|error| sql::Error::Unavailable(error.to_string()))?;
    }
    Ok(())
}

/// Creates the topics that are missing, as soon as the log is there, and looks whether all are large enough.
///
/// # Errors
/// A topic has fewer partitions than its setting says, or cannot be created.
pub async fn topics_ready(shop: &Shop) -> anyhow::Result<()> {
    let Some(log) = shop.event_log() else {
        return Ok(());
    };
    loop {
        match missing_partitions(log.as_ref(), &shop.config).await {
            Ok(None) => return Ok(()),
            Ok(Some(sentence)) => bail!(sentence),
            Err(Error::Unavailable(_)) => tokio::time::sleep(RETRY_EVERY).await,
            // Just created, and not yet known to the broker that was asked.
            Err(Error::UnknownTopic(_)) => tokio::time::sleep(RETRY_EVERY).await,
            Err(error) => return Err(error).context("the topics could not be created"),
        }
    }
}

async fn missing_partitions(log: &dyn EventLog, config: &Config) -> Result<Option<String>, Error> {
    let wanted = topics::create(log, config).await?;
    let there = log.topics().await?;
    for topic in &wanted {
        let Some(found) = there.iter().find(|found| found.name == topic.name) else {
            return Err(Error::UnknownTopic(topic.name.clone()));
        };
        if found.partitions < topic.partitions {
            return Ok(Some(format!(
                "topic {} has {} partitions and the settings ask for {}: add partitions to it, or lower the setting topics.*.partitions",
                topic.name, found.partitions, topic.partitions
            )));
        }
    }
    for sentence in topics::too_small(log, &wanted).await? {
        tracing::warn!("{sentence}");
    }
    Ok(None)
}
