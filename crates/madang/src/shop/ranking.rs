//! Rankings put together: the boards on Redis or in the shop's own file, the service, its consumer.

use std::sync::Arc;

use async_trait::async_trait;
use commerce::answer::StoreError;
use commerce::catalogue::Catalogue;
use commerce::clock::Clock;
use commerce::ids::ProductId;
use commerce::ranking::ports::{Board, Card, Shelf};
use commerce::ranking::{Ports, Rankings, Settings};
use stores::embedded::board::{self, SqlBoard};
use stores::redis::board::{self as redis_board, RedisBoard};
use stores::sql::ranking::SqlSalesHistory;

use super::features::Ground;
use super::follow_ups::time_zone;
use crate::steps;

pub fn service(
    ground: &Ground<'_>,
    catalogue: &Arc<Catalogue>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<Rankings>> {
    let ranking = &ground.config.ranking;
    let settings = Settings {
        time_zone: time_zone(ground.config)?,
        retention_days: ranking.retention_days,
        cache_ms: ranking.cache_ms,
        recount_cache_ms: ranking.recount_cache_ms,
        rebuild_page: ranking.rebuild_page,
        feed_batch_max: ranking.feed_batch_max,
        rebuild_wait_ms: ranking.rebuild_wait_ms,
        standings_max: ranking.standings_max,
    };
    let ports = Ports {
        board: steps::board(board(ground)),
        history: Arc::new(SqlSalesHistory::new(ground.database.clone())),
        shelf: Arc::new(FromCatalogue(Arc::clone(catalogue))),
        clock: Arc::clone(clock),
    };
    Ok(Arc::new(Rankings::new(ports, settings)))
}

fn board(ground: &Ground<'_>) -> Arc<dyn Board> {
    let ranking = &ground.config.ranking;
    match ground.redis {
        Some(redis) => {
            let settings = redis_board::Settings {
                prefix: ranking.key_prefix.clone(),
                retention_days: ranking.retention_days,
                lease_ms: ranking.lease_ms,
                ..redis_board::Settings::default()
            };
            Arc::new(RedisBoard::new(redis.clone(), settings))
        }
        None => {
            let settings = board::Settings {
                retention_days: ranking.retention_days,
                lease_ms: ranking.lease_ms,
            };
            Arc::new(SqlBoard::new(ground.database.clone(), settings))
        }
    }
}

/// Names, prices and stock as the catalogue shows them.
struct FromCatalogue(Arc<Catalogue>);

#[async_trait]
impl Shelf for FromCatalogue {
    async fn cards(&self, products: &[ProductId]) -> Result<Vec<Card>, StoreError> {
        let found = self.0.cards(products).await?;
        let card = |product: &commerce::catalogue::Product| Card {
            product: product.id,
            name: product.name.as_str().to_owned(),
            price: product.price.get(),
            stock: product.stock,
        };
        Ok(found.iter().map(card).collect())
    }
}
