//! The role `relay`: publishes what the outbox holds.
//! On cancel it awaits what is on its way, deletes it, and gives its leases up. Log and database may go away and come back;
//! nothing else ends it.

use std::collections::HashMap;
use std::sync::Arc;

use messaging::outbox::relay::{Relay, Settings};
use stores::sql::outbox::Outbox;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::shop::Shop;
use crate::steps::{self, Hand};

pub async fn run(shop: Arc<Shop>, cancel: CancellationToken) -> anyhow::Result<()> {
    let Some(log) = shop.event_log_of(Hand::Relay) else {
        // Inline: nothing is ever written to the outbox.
        cancel.cancelled().await;
        return Ok(());
    };
    let store = steps::outbox(Arc::new(Outbox::new(shop.database.clone())));
    Relay::new(log, store, settings(&shop.config), shop.wake.clone())
        .run(cancel)
        .await;
    Ok(())
}

fn settings(config: &Config) -> Settings {
    let outbox = &config.outbox;
    let topics = config.topics.all();
    let type_ids: HashMap<_, _> = topics
        .into_iter()
        .map(|(_, topic)| (topic.name.clone(), topic.type_id.clone().into()))
        .collect();
    Settings {
        shards: outbox.shards,
        lease_ms: outbox.lease_ms,
        batch_max: outbox.batch_max,
        batch_interval_ms: outbox.batch_interval_ms,
        in_flight_batches: outbox.in_flight_batches,
        poll_ms: outbox.poll_ms,
        idle_poll_max_ms: outbox.idle_poll_max_ms,
        sweep_ms: outbox.sweep_ms,
        delete_interval_ms: outbox.delete_interval_ms,
        drain_ms: outbox.drain_ms,
        depth_ms: outbox.depth_ms,
        held_max: outbox.held_max,
        source: config.shop.source.clone().into(),
        type_ids,
        ..Settings::default()
    }
}
