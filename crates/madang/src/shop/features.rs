//! The features' services, each from its ports, and their routes.

use std::sync::Arc;

use commerce::clock::{Clock, SystemClock};
use commerce::ids::Allocator;
use commerce::wallet::{self, Wallets};
use messaging::consumer::Handler;
use stores::sql::Database;
use stores::sql::wallet::SqlWallets;
use utoipa_axum::router::OpenApiRouter;

use super::Name;
use crate::config::Config;

pub struct Features {
    pub wallets: Arc<Wallets>,
}

pub fn build(config: &Config, database: &Database) -> Features {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(Allocator::new(
        Arc::new(database.clone()),
        config.shop.id_block,
    ));
    let wallets = Arc::new(SqlWallets::new(database.clone()));
    Features {
        wallets: Arc::new(Wallets::new(wallets, Arc::clone(&ids), Arc::clone(&clock))),
    }
}

impl Features {
    /// What the consumer does with its events; `None` where its follow-up is done inside the request.
    pub fn handler(&self, _name: Name) -> Option<Arc<dyn Handler>> {
        None
    }

    pub fn routers(&self) -> Vec<OpenApiRouter> {
        vec![wallet::http::router(Arc::clone(&self.wallets))]
    }
}
