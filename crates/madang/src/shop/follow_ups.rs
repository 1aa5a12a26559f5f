//! What follows an order, put together: statistics and data platform; as consumers' handlers, or inside the request.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use commerce::analytics::{self, Limits, Sales, SalesHandler};
use commerce::clock::Clock;
use commerce::data_platform::{
    DataPlatform, DataPlatformHandler, FileSink, HttpSink, Sink, breaker, files, http_sink,
};
use commerce::order::{FollowUp, InlineFollowUps};
use commerce::ranking::Rankings;
use jiff::tz::TimeZone;
use messaging::consumer::Handler;
use messaging::envelope::Identity;
use messaging::outbox::Event;
use stores::sql::Database;
use stores::sql::analytics::SqlSales;
use stores::sql::receipts::SqlReceipts;

use crate::config::Config;
use crate::steps;

pub fn sales(
    config: &Config,
    database: &Database,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<Sales>> {
    let limits = &config.analytics;
    let settings = analytics::Settings {
        time_zone: time_zone(config)?,
        limits: Limits {
            by_hour_max_days: limits.by_hour_max_days,
            by_day_max_days: limits.by_day_max_days,
            by_product_max_days: limits.by_product_max_days,
            products_max: limits.products_max,
        },
    };
    let store = Arc::new(SqlSales::new(database.clone()));
    Ok(Arc::new(Sales::new(store, Arc::clone(clock), settings)))
}

pub fn time_zone(config: &Config) -> anyhow::Result<TimeZone> {
    let name = &config.shop.time_zone;
    TimeZone::get(name).with_context(|| format!("setting shop.time_zone = {name:?}"))
}

pub fn data_platform(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<DataPlatform>> {
    let platform = &config.data_platform;
    let sink: Arc<dyn Sink> = if platform.url.is_empty() {
        let settings = files::Settings {
            folder: config.data_dir().join("data-platform"),
            time_zone: time_zone(config)?,
            remembered_max: platform.remembered_max,
        };
        Arc::new(FileSink::new(settings, Arc::clone(clock)))
    } else {
        Arc::new(HttpSink::new(&http_sink::Settings {
            url: platform.url.clone(),
            secret: (!platform.secret.is_empty()).then(|| platform.secret.clone()),
            concurrency: platform.concurrency,
            connect_timeout_ms: platform.connect_timeout_ms,
            request_timeout_ms: platform.request_timeout_ms,
            retry_after_max_ms: platform.retry_after_max_ms,
        })?)
    };
    let breaker = breaker::Settings {
        failures_max: platform.breaker_failures_max,
        open_ms: platform.breaker_open_ms,
        open_max_ms: platform.breaker_open_max_ms,
    };
    Ok(Arc::new(DataPlatform::new(steps::sink(sink), breaker)))
}

pub fn sales_handler(sales: &Arc<Sales>) -> Arc<dyn Handler> {
    Arc::new(SalesHandler(Arc::clone(sales)))
}

pub fn data_platform_handler(
    platform: &Arc<DataPlatform>,
    database: &Database,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn Handler> {
    let receipts = Arc::new(SqlReceipts::new(database.clone()));
    Arc::new(DataPlatformHandler::new(
        Arc::clone(platform),
        receipts,
        Arc::clone(clock),
    ))
}

/// Follow-ups inside the request; orders call it where a step is switched to inline.
pub struct Inline {
    pub sales: Arc<Sales>,
    pub platform: Arc<DataPlatform>,
    pub rankings: Arc<Rankings>,
}

#[async_trait]
impl InlineFollowUps for Inline {
    async fn run(&self, step: FollowUp, events: &[Event]) -> Result<(), String> {
        match step {
            FollowUp::Analytics => {
                let values: Vec<_> = events
                    .iter()
                    .map(|event| (identity(event), event.payload.clone()))
                    .collect();
                self.sales.record(&values).await.map_err(|e| e.to_string())
            }
            FollowUp::DataPlatform => {
                for event in events {
                    let id = event.id.to_string();
                    let delivered = self
                        .platform
                        .deliver_inline(&id, event.payload.clone())
                        .await;
                    delivered.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            FollowUp::Ranking => self
                .rankings
                .record(events)
                .await
                .map_err(|e| e.to_string()),
        }
    }
}

/// As the consumer would have read it off the record.
fn identity(event: &Event) -> Identity {
    match event.seq {
        Some(seq) => Identity::Seq(seq),
        None => Identity::Foreign(event.id.to_string()),
    }
}
