//! A board to test on, with an orders table beside it, and short words for entries and orders.
//! `on_boards!` makes a test of each `async fn(&Stage)` on each adapter.

use std::sync::Arc;

use commerce::ids::ProductId;
use commerce::ranking::model::{Entry, Position, Standing};
use commerce::ranking::ports::{Board, Counted, Read};
use jiff::civil::Date;
use messaging::envelope::Identity;
use sea_orm::ConnectionTrait;
use stores::embedded::board::{Settings as SqlSettings, SqlBoard};
use stores::redis::Redis;
use stores::redis::board::{RedisBoard, Settings as RedisSettings};
use stores::sql::Database;

use crate::backends::{Backend, patient};

pub const LEASE_MS: u64 = 120_000;
/// A century: the days of these tests are written down, while Redis lets boards go by the date on which a test runs.
const RETENTION_DAYS: i32 = 36_500;

enum Engine {
    Sql,
    Redis(testkit::Redis),
}

pub struct Stage {
    engine: Engine,
    _backend: Backend,
    pub db: Database,
}

impl Stage {
    pub async fn embedded() -> Self {
        Self::new(Engine::Sql, Backend::sqlite().await).await
    }

    pub async fn mysql() -> Option<Self> {
        Some(Self::new(Engine::Sql, Backend::mysql().await?).await)
    }

    pub async fn redis() -> Option<Self> {
        let redis = testkit::shared::redis().await?;
        Some(Self::new(Engine::Redis(redis), Backend::sqlite().await).await)
    }

    async fn new(engine: Engine, backend: Backend) -> Self {
        Self {
            engine,
            db: backend.connect().await,
            _backend: backend,
        }
    }

    pub fn board(&self) -> Arc<dyn Board> {
        self.board_of(LEASE_MS, RETENTION_DAYS)
    }

    /// A board as another process would have it.
    pub fn board_with_lease(&self, lease_ms: u64) -> Arc<dyn Board> {
        self.board_of(lease_ms, RETENTION_DAYS)
    }

    /// A board that lets days go.
    pub fn board_that_keeps(&self, retention_days: i32) -> Arc<dyn Board> {
        self.board_of(LEASE_MS, retention_days)
    }

    fn board_of(&self, lease_ms: u64, retention_days: i32) -> Arc<dyn Board> {
        match &self.engine {
            Engine::Sql => {
                let settings = SqlSettings {
                    lease_ms,
                    retention_days,
                };
                Arc::new(SqlBoard::new(self.db.clone(), settings))
            }
            Engine::Redis(_) => {
                let settings = RedisSettings {
                    lease_ms,
                    retention_days,
                    // Kept sums would hide what was just counted.
                    window_ms: 1,
                    ..RedisSettings::default()
                };
                Arc::new(RedisBoard::new(self.redis_client(), settings))
            }
        }
    }

    fn redis_client(&self) -> Redis {
        let Engine::Redis(server) = &self.engine else {
            panic!("not on Redis");
        };
        Redis::connect(&patient(server)).unwrap()
    }

    /// Changes a score behind the board's back.
    pub async fn tamper(&self, day: Date, product: i64, by: i64) {
        match &self.engine {
            Engine::Sql => {
                let sql = "UPDATE ranking_scores SET quantity = quantity + ? WHERE day = ? AND product_id = ?";
                let values = vec![by.into(), day.to_string().into(), product.into()];
                let update = self.db.statement(sql, values);
                self.db.writer().execute_raw(update).await.unwrap();
            }
            Engine::Redis(_) => {
                let mut command = redis::cmd("ZINCRBY");
                command
                    .arg(format!("product:ranking:{day}"))
                    .arg(by)
                    .arg(product);
                self.redis_client().query::<String>(&command).await.unwrap();
            }
        }
    }

    /// Redis' keys, each with the second at which it goes; -1 for one that stays.
    pub async fn expiries(&self) -> Vec<(String, i64)> {
        let client = self.redis_client();
        let mut keys = redis::cmd("KEYS");
        keys.arg("*");
        let keys: Vec<String> = client.query(&keys).await.unwrap();
        let mut expiries = Vec::new();
        for key in keys {
            let mut ask = redis::cmd("EXPIRETIME");
            ask.arg(&key);
            let second = client.query(&ask).await.unwrap();
            expiries.push((key, second));
        }
        expiries
    }

    /// Loses everything that the boards hold.
    pub async fn wipe(&self) {
        match &self.engine {
            Engine::Sql => {
                for table in [
                    "ranking_boards",
                    "ranking_scores",
                    "ranking_places",
                    "consumer_notes",
                ] {
                    let delete = self.db.statement(format!("DELETE FROM {table}"), vec![]);
                    self.db.writer().execute_raw(delete).await.unwrap();
                }
            }
            Engine::Redis(_) => {
                let flush = redis::cmd("FLUSHALL");
                self.redis_client().query::<String>(&flush).await.unwrap();
            }
        }
    }

    /// An order of one line per `(product, quantity)`, 100 a piece, numbered from `seq` on; cancelled where `cancel_seq` is given.
    pub async fn order(
        &self,
        id: i64,
        at_us: i64,
        lines: &[(i64, i64)],
        seq: i64,
        cancel_seq: Option<i64>,
    ) {
        let total: i64 = lines.iter().map(|(_, quantity)| quantity * 100).sum();
        let status = if cancel_seq.is_some() {
            "CANCELLED"
        } else {
            "COMPLETED"
        };
        let insert = self.db.statement(
            "INSERT INTO orders (id, user_id, total_amount, discount_amount, discounted_amount, status, created_us, owes, completed_seq, data_platform_seq, cancel_owes) VALUES (?, 1, ?, 0, ?, ?, ?, 1, ?, ?, 0)",
            vec![id.into(), total.into(), total.into(), status.into(), at_us.into(), id.into(), id.into()],
        );
        self.db.writer().execute_raw(insert).await.unwrap();
        for (index, (product, quantity)) in (0..).zip(lines) {
            let cancel: Option<i64> = cancel_seq.map(|first| first + index);
            let insert = self.db.statement(
                "INSERT INTO order_lines (order_id, id, product_id, product_name, quantity, unit_price, total_price, ranking_seq, cancel_ranking_seq) VALUES (?, ?, ?, 'thing', ?, 100, ?, ?, ?)",
                vec![
                    id.into(),
                    (id * 100 + index).into(),
                    (*product).into(),
                    (*quantity).into(),
                    (quantity * 100).into(),
                    (seq + index).into(),
                    cancel.into(),
                ],
            );
            self.db.writer().execute_raw(insert).await.unwrap();
        }
    }
}

pub fn day(n: i8) -> Date {
    jiff::civil::date(2026, 11, n)
}

pub fn product(id: i64) -> ProductId {
    ProductId::try_from(id).unwrap()
}

/// An own event: 100 a piece.
pub fn own(seq: i64, on: Date, id: i64, quantity: i64) -> Entry {
    Entry {
        identity: Identity::Seq(seq),
        day: on,
        product: product(id),
        quantity,
        amount: quantity * 100,
    }
}

pub fn foreign(name: &str, on: Date, id: i64, quantity: i64) -> Entry {
    Entry {
        identity: Identity::Foreign(name.to_owned()),
        ..own(0, on, id, quantity)
    }
}

pub fn counted(seq: i64, id: i64, quantity: i64) -> Counted {
    Counted {
        seq: Some(seq),
        product: product(id),
        quantity,
        amount: quantity * 100,
    }
}

pub fn at(start: i64, next: i64) -> Position {
    Position {
        partition: "product-ranking-topic-0".to_owned(),
        start,
        next,
    }
}

/// Rebuilds a day from these pages.
pub async fn rebuild(board: &dyn Board, on: Date, pages: &[Vec<Counted>]) {
    let mut shadow = board.open(on).await.unwrap().unwrap();
    for page in pages {
        board.feed(&mut shadow, page).await.unwrap();
    }
    board.flip(shadow).await.unwrap();
}

/// Product, score and amount of the days' first hundred.
pub async fn listed(board: &dyn Board, days: &[Date]) -> Vec<(i64, i64, i64)> {
    let row = |s: &Standing| (s.product.get(), s.score, s.amount);
    match board.top(days, 100).await.unwrap() {
        Read::Found(standings) => standings.iter().map(row).collect(),
        Read::Missing(days) => panic!("no board of {days:?}"),
    }
}

/// `on_boards!(a, b)`: tests `embedded::a`, `mysql::a`, `redis::a` and so on, of `async fn a(&Stage)` in the same module.
macro_rules! on_boards {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::ranking::stage::Stage::embedded().await).await;
            })*
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(stage) = crate::ranking::stage::Stage::mysql().await {
                    super::$name(&stage).await;
                }
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(stage) = crate::ranking::stage::Stage::redis().await {
                    super::$name(&stage).await;
                }
            })*
        }
    };
}
pub(crate) use on_boards;
