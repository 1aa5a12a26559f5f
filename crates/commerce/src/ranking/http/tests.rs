//! What clients of the two routes read, on a board that answers by heart.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use jiff::Timestamp;
use jiff::civil::Date;
use tower::ServiceExt;

use super::*;
use crate::answer::StoreError;
use crate::clock::{Clock, from_us};
use crate::ranking::days::Span;
use crate::ranking::model::{Entry, Place, Position, Standing};
use crate::ranking::ports::{
    Applied, Board, Card, Comparison, Counted, Error, Read, SalesHistory, Shadow, Shelf, Snapshot,
};
use crate::ranking::{Ports, Settings};

/// Board, history, shelf and clock: products 3, 1, 2 sold 30, 20, 10; the catalogue does not know product 1.
#[derive(Default)]
struct World {
    board_away: AtomicBool,
    database_away: AtomicBool,
    board_reads: AtomicUsize,
    recounts: AtomicUsize,
}

fn standings() -> Vec<Standing> {
    let standing = |(id, score): (i64, i64)| Standing {
        product: ProductId::try_from(id).unwrap(),
        score,
        amount: score * 1_000,
    };
    [(3, 30), (1, 20), (2, 10)].map(standing).to_vec()
}

fn place(product: ProductId) -> Place {
    let all = standings();
    let found = all.iter().position(|s| s.product == product);
    found.map_or(Place::NONE, |index| Place {
        rank: Some(index as u64 + 1),
        score: all[index].score,
    })
}

fn away() -> Error {
    Error::Unavailable("away".into())
}

impl World {
    fn board<T>(&self, value: T) -> Result<Read<T>, Error> {
        self.board_reads.fetch_add(1, Ordering::Relaxed);
        if self.board_away.load(Ordering::Relaxed) {
            return Err(away());
        }
        Ok(Read::Found(value))
    }

    fn database<T>(&self, value: T) -> Result<T, StoreError> {
        self.recounts.fetch_add(1, Ordering::Relaxed);
        if self.database_away.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(value)
    }
}

#[async_trait]
impl Board for World {
    async fn apply(&self, _: &[Entry], _: Option<&Position>) -> Result<Applied, Error> {
        Err(away())
    }
    async fn place(&self, _: &str, _: i64) -> Result<(), Error> {
        Err(away())
    }
    async fn forget_places(&self) -> Result<(), Error> {
        Err(away())
    }
    async fn known(&self, _: &[Date]) -> Result<Vec<Date>, Error> {
        Err(away())
    }
    async fn top(&self, _: &[Date], _: usize) -> Result<Read<Vec<Standing>>, Error> {
        self.board(standings())
    }
    async fn rank(&self, _: &[Date], product: ProductId) -> Result<Read<Place>, Error> {
        self.board(place(product))
    }
    async fn open(&self, _: Date) -> Result<Option<Shadow>, Error> {
        Err(away())
    }
    async fn feed(&self, _: &mut Shadow, _: &[Counted]) -> Result<(), Error> {
        Err(away())
    }
    async fn flip(&self, _: Shadow) -> Result<(), Error> {
        Err(away())
    }
    async fn compare(&self, _: Shadow, _: usize) -> Result<Comparison, Error> {
        Err(away())
    }

    async fn discard(&self, _: Shadow) -> Result<(), Error> {
        Err(away())
    }
}

#[async_trait]
impl SalesHistory for World {
    async fn snapshot(&self, _: Span) -> Result<Box<dyn Snapshot>, StoreError> {
        Err(StoreError::Unavailable("away".into()))
    }
    async fn top(&self, _: Span, _: usize) -> Result<Vec<Standing>, StoreError> {
        self.database(standings())
    }
    async fn rank(&self, _: Span, product: ProductId) -> Result<Place, StoreError> {
        self.database(place(product))
    }
}

#[async_trait]
impl Shelf for World {
    async fn cards(&self, products: &[ProductId]) -> Result<Vec<Card>, StoreError> {
        let known = products.iter().filter(|p| [2, 3, 4].contains(&p.get()));
        let card = |product: &ProductId| Card {
            product: *product,
            name: format!("thing {product}"),
            price: 1_000,
            stock: 5,
        };
        Ok(known.map(card).collect())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        from_us(1_795_000_000_000_000)
    }
}

fn shop(world: &Arc<World>) -> axum::Router {
    let ports = Ports {
        board: world.clone(),
        history: world.clone(),
        shelf: world.clone(),
        clock: world.clone(),
    };
    let settings = Settings {
        cache_ms: 60_000,
        recount_cache_ms: 60_000,
        ..Settings::default()
    };
    router(Arc::new(Rankings::new(ports, settings))).into()
}

async fn get(shop: &axum::Router, path: &str) -> (u16, serde_json::Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = shop.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn best_sellers_are_a_bare_array() {
    let shop = shop(&Arc::default());
    let (status, body) = get(&shop, "/api/products/popular").await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("best_sellers", body);
    let (_, body) = get(&shop, "/api/products/popular?window=30d&limit=1").await;
    assert_eq!(body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_products_place() {
    let shop = shop(&Arc::default());
    let (status, body) = get(&shop, "/api/products/2/ranking?window=today").await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("place", body);
    let (status, body) = get(&shop, "/api/products/4/ranking").await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("no_place", body);
    let (status, body) = get(&shop, "/api/products/1/ranking").await;
    assert_eq!(
        (status, body["code"].as_str()),
        (404, Some("product-not-found"))
    );
}

#[tokio::test]
async fn what_does_not_fit_is_a_validation_problem() {
    let shop = shop(&Arc::default());
    let bad = [
        "/api/products/popular?limit=0",
        "/api/products/popular?limit=101",
        "/api/products/popular?limit=-1",
        "/api/products/popular?limit=9223372036854775808",
        "/api/products/popular?limit=x",
        "/api/products/popular?window=4d",
        "/api/products/popular?window=",
        "/api/products/0/ranking",
        "/api/products/x/ranking",
        "/api/products/2/ranking?window=week",
    ];
    for path in bad {
        let (status, body) = get(&shop, path).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (400, Some("validation")),
            "{path}: {body}"
        );
    }
    let (_, body) = get(&shop, "/api/products/popular?window=4d").await;
    insta::assert_json_snapshot!("unknown_window", body);
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_read() {
    let world = Arc::<World>::default();
    let shop = shop(&world);
    let asks = (0..50).map(|_| get(&shop, "/api/products/popular"));
    for (status, _) in futures::future::join_all(asks).await {
        assert_eq!(status, 200);
    }
    assert_eq!(world.board_reads.load(Ordering::Relaxed), 1);
    assert_eq!(world.recounts.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn while_the_board_is_away_the_database_is_asked_once() {
    let world = Arc::<World>::default();
    world.board_away.store(true, Ordering::Relaxed);
    let shop = shop(&world);
    for _ in 0..5 {
        let (status, body) = get(&shop, "/api/products/popular").await;
        assert_eq!((status, body.as_array().unwrap().len()), (200, 2));
        let (status, body) = get(&shop, "/api/products/3/ranking").await;
        assert_eq!((status, body["rank"].as_u64()), (200, Some(1)));
    }
    assert_eq!(world.recounts.load(Ordering::Relaxed), 2);
    world.database_away.store(true, Ordering::Relaxed);
    let (status, body) = get(&shop, "/api/products/popular?window=7d").await;
    assert_eq!((status, body["code"].as_str()), (503, Some("unavailable")));
}
