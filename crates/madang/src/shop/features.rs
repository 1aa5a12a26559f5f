//! The features' services, each from its ports, and their routes and handlers.
//! Which adapter stands behind a port is decided here, from the settings.

use std::sync::Arc;

use commerce::clock::{Clock, SystemClock};
use commerce::coupon::{self, Coupons, IssueHandler};
use commerce::ids::Allocator;
use commerce::order::{self, Orders};
use commerce::wallet::{self, Wallets};
use commerce::wire::{KeyStyle, Style, TimeFormat};
use messaging::consumer::Handler;
use messaging::outbox::relay::Wake;
use stores::redis::Redis;
use stores::sql::Database;
use stores::sql::orders::SqlOrders;
use stores::sql::wallet::SqlWallets;
use utoipa_axum::router::OpenApiRouter;

use super::inline::Inline;
use super::{Name, coupons};
use crate::config::{self, Config, Publisher};

pub struct Features {
    pub wallets: Arc<Wallets>,
    pub orders: Arc<Orders>,
    pub coupons: Arc<Coupons>,
    pub coupon_ports: coupons::Adapters,
    pub clock: Arc<dyn Clock>,
    issuer: Arc<IssueHandler>,
}

/// What the services are built from.
pub struct Ground<'a> {
    pub config: &'a Config,
    pub database: &'a Database,
    pub redis: Option<&'a Redis>,
    pub wake: &'a Wake,
}

/// Must be called within a tokio runtime.
pub fn build(ground: &Ground<'_>) -> Features {
    let Ground {
        config, database, ..
    } = *ground;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(Allocator::new(
        Arc::new(database.clone()),
        config.shop.id_block,
    ));
    let wallets = Arc::new(SqlWallets::new(database.clone()));
    let adapters = coupons::adapters(ground);
    let coupons = coupons::service(config, &adapters, &ids, &clock);
    let outlet = order::Outlet::new(
        order::Events::new(event_settings(config)),
        follow_ups(config),
        Arc::new(Inline::new(Vec::new())),
    );
    let orders = Orders::new(
        Arc::new(SqlOrders::new(database.clone(), ground.wake.clone())),
        Arc::clone(&ids),
        Arc::clone(&clock),
        outlet,
        order_settings(config),
    );
    Features {
        wallets: Arc::new(Wallets::new(wallets, Arc::clone(&ids), Arc::clone(&clock))),
        orders: Arc::new(orders),
        issuer: Arc::new(coupons::issuer(&coupons, &adapters, &ids, &clock)),
        coupons,
        coupon_ports: adapters,
        clock,
    }
}

impl Features {
    pub fn routers(&self) -> Vec<OpenApiRouter> {
        vec![
            wallet::http::router(Arc::clone(&self.wallets)),
            order::http::router(Arc::clone(&self.orders)),
            coupon::http::router(Arc::clone(&self.coupons)),
        ]
    }

    /// What the consumer does with its events; `None` where its follow-up is done inside the request.
    pub fn handler(&self, name: Name) -> Option<Arc<dyn Handler>> {
        match name {
            Name::CouponIssue => Some(Arc::clone(&self.issuer) as Arc<dyn Handler>),
            Name::Analytics | Name::Ranking | Name::DataPlatform => None,
        }
    }
}

/// How messages write times and keys.
pub fn style(config: &Config) -> Style {
    Style {
        times: match config.kafka.time_format {
            config::TimeFormat::Pattern => TimeFormat::Pattern,
            config::TimeFormat::Rfc3339 => TimeFormat::Rfc3339,
        },
        keys: match config.kafka.keys {
            config::Keys::Decimal => KeyStyle::Decimal,
            config::Keys::Jvm => KeyStyle::Jvm,
        },
    }
}

fn event_settings(config: &Config) -> order::events::Settings {
    let topics = &config.topics;
    order::events::Settings {
        order_completed_topic: topics.order_completed.name.clone(),
        product_ranking_topic: topics.product_ranking.name.clone(),
        data_platform_topic: topics.data_platform_transfer.name.clone(),
        style: style(config),
        shards: config.outbox.shards,
    }
}

/// Without a log every follow-up is done inside the request, whatever its own setting says.
fn follow_ups(config: &Config) -> order::FollowUps {
    let inline = config.publisher() == Publisher::Inline;
    let mode = |setting| match setting {
        config::FollowUp::Events if !inline => order::Mode::Events,
        _ => order::Mode::Inline,
    };
    order::FollowUps {
        ranking: mode(config.follow_ups.ranking),
        data_platform: mode(config.follow_ups.data_platform),
        analytics: mode(config.follow_ups.analytics),
    }
}

fn order_settings(config: &Config) -> order::Settings {
    let orders = &config.orders;
    order::Settings {
        queue_max: orders.queue_max,
        batch_max: orders.batch_max,
        batches_in_flight: orders.batches_in_flight,
        batch_timeout_ms: orders.batch_timeout_ms,
    }
}
