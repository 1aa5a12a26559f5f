//! The role `consumers`: one runtime a consumer, and a gauge of their lag.
//! On cancel each settles the batches in hand within its drain, commits, and leaves its group. It fails when a consumer does:
//! a partition that cannot go on, a group that refuses it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use messaging::consumer::{Runtime, Settings, lag};
use messaging::log::EventLog;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shop::{Name, Shop, consumer_settings};
use crate::steps::{self, Hand};

pub async fn run(
    shop: Arc<Shop>,
    names: Vec<Name>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let Some(log) = shop.event_log_of(Hand::Consumers) else {
        // Inline: every follow-up is done inside the request.
        cancel.cancelled().await;
        return Ok(());
    };
    let mut tasks = JoinSet::new();
    for name in names {
        let handler = steps::handler(shop.features.handler(name), name);
        let settings = consumer_settings(&shop.config, name);
        let lag_every = Duration::from_millis(shop.config.consumers.lag_ms);
        tokio::spawn(show_lag(
            Arc::clone(&log),
            settings.clone(),
            lag_every,
            cancel.clone(),
        ));
        let runtime = Runtime::new(Arc::clone(&log), handler, settings);
        let cancel = cancel.clone();
        tasks.spawn(async move {
            let ended = runtime.run(cancel).await;
            ended.with_context(|| format!("consumer {}", name.as_str()))
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a consumer panicked")??;
    }
    cancel.cancelled().await;
    Ok(())
}

async fn show_lag(
    log: Arc<dyn EventLog>,
    settings: Settings,
    every: Duration,
    cancel: CancellationToken,
) {
    while cancel
        .run_until_cancelled(tokio::time::sleep(every))
        .await
        .is_some()
    {
        // A log that is away is readiness' news; the gauges keep their last value.
        let Ok(partitions) = lag(log.as_ref(), &settings).await else {
            continue;
        };
        for at in partitions {
            metrics::gauge!(
                "madang_consumer_lag_records",
                "group" => settings.group.clone(),
                "topic" => at.topic,
                "partition" => at.partition.to_string(),
            )
            .set(at.records as f64);
        }
    }
}
