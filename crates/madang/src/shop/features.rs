//! The features' services, each from its ports, and their routes and handlers.
//! Which adapter stands behind a port is decided here, from the settings.

use std::sync::Arc;

use commerce::analytics::{self, Sales};
use commerce::catalogue::{self, Catalogue};
use commerce::clock::{Clock, SystemClock};
use commerce::coupon::{self, Coupons, IssueHandler};
use commerce::ids::Allocator;
use commerce::order::{self, Orders};
use commerce::ranking::Rankings;
use commerce::ranking::consumer::RankingHandler;
use commerce::wallet::{self, Wallets};
use commerce::wire::{KeyStyle, Style, TimeFormat};
use messaging::consumer::Handler;
use messaging::outbox::Packing;
use messaging::outbox::relay::Wake;
use stores::redis::Redis;
use stores::sql::Database;
use stores::sql::catalogue::SqlCatalogue;
use stores::sql::orders::SqlOrders;
use stores::sql::wallet::SqlWallets;
use utoipa_axum::router::OpenApiRouter;

use super::follow_ups::{self, Inline};
use super::{Name, coupons, ranking};
use crate::config::{self, Config, Publisher};

pub struct Features {
    wallets: Arc<Wallets>,
    orders: Arc<Orders>,
    pub coupons: Arc<Coupons>,
    pub coupon_ports: coupons::Adapters,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<Allocator>,
    pub catalogue: Arc<Catalogue>,
    sales: Arc<Sales>,
    pub issuer: Arc<IssueHandler>,
    pub rankings: Arc<Rankings>,
    sales_handler: Arc<dyn Handler>,
    ranking_handler: Arc<dyn Handler>,
    platform_handler: Arc<dyn Handler>,
}

/// What the services are built from.
pub struct Ground<'a> {
    pub config: &'a Config,
    pub database: &'a Database,
    pub redis: Option<&'a Redis>,
    pub wake: &'a Wake,
}

/// Must be called within a tokio runtime.
///
/// # Errors
/// A setting that only its user can judge.
pub fn build(ground: &Ground<'_>) -> anyhow::Result<Features> {
    let Ground {
        config, database, ..
    } = *ground;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(Allocator::new(
        Arc::new(database.clone()),
        config.shop.id_block,
    ));
    let adapters = coupons::adapters(ground);
    let coupons = coupons::service(config, &adapters, &ids, &clock);
    let sales = follow_ups::sales(config, database, &clock)?;
    let platform = follow_ups::data_platform(config, &clock)?;
    let catalogue = Arc::new(catalogue(config, database, &ids, &clock));
    let rankings = ranking::service(ground, &catalogue, &clock)?;
    let inline = Inline {
        rankings: Arc::clone(&rankings),
        sales: Arc::clone(&sales),
        platform: Arc::clone(&platform),
    };
    let events = order::Events::new(event_settings(config));
    let orders = Orders::new(
        Arc::new(SqlOrders::new(
            database.clone(),
            ground.wake.clone(),
            packing(config),
        )),
        Arc::clone(&ids),
        Arc::clone(&clock),
        order::Outlet::new(events, steps(config), Arc::new(inline)),
        order_settings(config, database),
    );
    let wallets = Arc::new(SqlWallets::new(database.clone()));
    Ok(Features {
        wallets: Arc::new(Wallets::new(wallets, Arc::clone(&ids), Arc::clone(&clock))),
        orders: Arc::new(orders),
        ranking_handler: Arc::new(RankingHandler::new(Arc::clone(&rankings))),
        catalogue,
        rankings,
        issuer: Arc::new(coupons::issuer(&coupons, &adapters, &ids, &clock)),
        sales_handler: follow_ups::sales_handler(&sales),
        platform_handler: follow_ups::data_platform_handler(&platform, database, &clock),
        sales,
        coupons,
        coupon_ports: adapters,
        clock,
        ids,
    })
}

fn catalogue(
    config: &Config,
    database: &Database,
    ids: &Arc<Allocator>,
    clock: &Arc<dyn Clock>,
) -> Catalogue {
    let cache = &config.catalogue;
    let settings = catalogue::Settings {
        ttl_ms: cache.ttl_ms,
        products_max: cache.products_max,
        pages_max: cache.pages_max,
        card_lists_max: cache.card_lists_max,
    };
    let store = Arc::new(SqlCatalogue::new(database.clone()));
    Catalogue::new(store, Arc::clone(ids), Arc::clone(clock), &settings)
}

impl Features {
    /// What the outbox's watcher tells of it.
    pub fn backlog(&self) -> Arc<order::Backlog> {
        self.orders.backlog()
    }

    pub fn routers(&self) -> Vec<OpenApiRouter> {
        vec![
            catalogue::http::router(Arc::clone(&self.catalogue)),
            wallet::http::router(Arc::clone(&self.wallets)),
            order::http::router(Arc::clone(&self.orders)),
            coupon::http::router(Arc::clone(&self.coupons)),
            commerce::ranking::http::router(Arc::clone(&self.rankings)),
            analytics::http::router(Arc::clone(&self.sales)),
        ]
    }

    /// What the consumer does with its events. It runs where its follow-up is inline too: what is on the topic already, or
    /// comes from others, wants its effect, and an effect that was had inside the request is not had again.
    pub fn handler(&self, name: Name) -> Arc<dyn Handler> {
        match name {
            Name::CouponIssue => Arc::clone(&self.issuer) as Arc<dyn Handler>,
            Name::Analytics => Arc::clone(&self.sales_handler),
            Name::DataPlatform => Arc::clone(&self.platform_handler),
            Name::Ranking => Arc::clone(&self.ranking_handler),
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

fn packing(config: &Config) -> Packing {
    Packing {
        events_max: config.outbox.row_events_max.into(),
        bytes_max: config.outbox.row_bytes_max,
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
fn steps(config: &Config) -> order::FollowUps {
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

fn order_settings(config: &Config, database: &Database) -> order::Settings {
    let orders = &config.orders;
    let has_one_writer = database.file_writer().is_some();
    order::Settings {
        queue_max: orders.queue_max,
        batch_max: orders.batch_max,
        // A second one would only wait for its turn, while it could still gather.
        batches_in_flight: if has_one_writer {
            1
        } else {
            orders.batches_in_flight
        },
        batches_before_commit: orders.batches_before_commit,
        gather_max_ms: orders.gather_max_ms,
        batch_interval_ms: orders.batch_interval_ms,
        batch_timeout_ms: orders.batch_timeout_ms,
    }
}
