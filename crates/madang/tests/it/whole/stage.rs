//! The ground a whole-shop test stands on: the embedded default, or Kafka, MariaDB and Redis with names of the test's own.
//! It starts nothing by itself but its Redis; the test starts the shop. Used by every test of this folder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::{Client, Finished, Redis, Response, ShopProcess, ShopSettings, eventually, shared};

use crate::modes::steady;

/// How long a broken run may take before a wait gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Stage {
    pub settings: ShopSettings,
    /// Before each topic's and group's name; "" on the embedded default.
    pub prefix: String,
    /// Kafka's address, on the real ground.
    pub brokers: Option<String>,
    /// The database's URL, for what no client may do.
    pub database: String,
    /// Redis' URL, on the real ground.
    pub redis: Option<String>,
    /// Ends with the last clone of the stage.
    _redis: Option<Arc<Redis>>,
}

/// Where the real three are: a database of the test's own, a Redis, Kafka's brokers.
pub struct Addresses {
    pub database: String,
    pub redis: String,
    pub kafka: String,
}

impl Stage {
    pub fn embedded() -> Self {
        let settings = shop();
        let file = settings.folder().join("madang-data/madang.db");
        Self {
            database: format!("sqlite://{}", file.display()),
            redis: None,
            settings,
            prefix: String::new(),
            brokers: None,
            _redis: None,
        }
    }

    /// `None` where a service cannot be had, which has then been said.
    pub async fn real(name: &str) -> Option<Self> {
        let mariadb = shared::mariadb().await?;
        let kafka = shared::kafka().await?;
        let redis = shared::redis().await?;
        // MariaDB's names of databases are short.
        let short: String = name.chars().take(24).collect();
        let name = format!("{}-{:08x}", short.trim_end_matches('-'), fastrand::u32(..));
        let database = mariadb
            .create_database(&name.replace('-', "_"))
            .await
            .expect("a database of the test's own");
        let at = Addresses {
            database,
            redis: redis.url(),
            kafka: kafka.address(),
        };
        Some(Self::on(&name, at).keeping(redis))
    }

    /// On services that the caller keeps; `name` goes before each topic's and group's name.
    pub fn on(name: &str, at: Addresses) -> Self {
        let prefix = format!("{name}-");
        let settings = shop()
            .env("MADANG_DATABASE__URL", at.database.clone())
            .env("MADANG_REDIS__URL", at.redis.clone())
            .env("MADANG_KAFKA__BROKERS", at.kafka.clone())
            .apart(&prefix);
        Self {
            settings,
            prefix,
            brokers: Some(at.kafka),
            database: at.database,
            redis: Some(at.redis),
            _redis: None,
        }
    }

    /// The Redis ends with the last clone of the stage.
    #[must_use]
    pub fn keeping(mut self, redis: Redis) -> Self {
        self._redis = Some(Arc::new(redis));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings = self.settings.env(name, value.into());
        self
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// `madang seed` with these counts; price 1,000, balance 1,000,000.
    pub async fn seed(&self, users: u32, products: u32, stock: u32, coupons: u32, quota: u32) {
        let count = |n: u32| n.to_string();
        self.settings
            .run(&[
                "seed",
                "--users",
                &count(users),
                "--products",
                &count(products),
                "--stock",
                &count(stock),
                "--price",
                "1000",
                "--balance",
                "1000000",
                "--coupons",
                &count(coupons),
                "--quota",
                &count(quota),
            ])
            .await
            .expect("seed runs")
            .expect_success();
    }

    /// Seeds and starts one process with every role.
    pub async fn open(&self, users: u32, products: u32, stock: u32) -> ShopProcess {
        self.seed(users, products, stock, 0, 1).await;
        self.settings.start().await.expect("the shop starts")
    }

    /// Waits until every event has had its effect, then audits.
    pub async fn audit(&self) -> Finished {
        self.settings
            .run(&["audit", "--wait", "60"])
            .await
            .expect("audit runs")
            .expect_success()
    }
}

fn shop() -> ShopSettings {
    steady().env("MADANG_AUTH__MODE", "off")
}

/// One order of one line by a user, expected to be taken; the order as answered.
pub async fn order(client: &Client, user: u64, product: u64, quantity: u64) -> Value {
    client
        .post("/api/orders", &one_line(user, product, quantity))
        .await
        .expect("an answer")
        .expect(201)
        .json
}

pub fn one_line(user: u64, product: u64, quantity: u64) -> Value {
    json!({"userId": user, "orderItems": [{"productId": product, "quantity": quantity}]})
}

/// The stock, as the database has it (the catalogue's cache may be a second old).
pub async fn stock_becomes(client: &Client, product: u64, expected: i64) {
    eventually(PATIENCE, "the product's page shows the stock", async || {
        let page = client.get(&format!("/api/products/{product}")).await?;
        ensure!(page.json["stock"] == expected, "{}", page.text);
        Ok(())
    })
    .await;
}

pub async fn balance(client: &Client, user: u64) -> i64 {
    client
        .get(&format!("/api/users/balance?userId={user}"))
        .await
        .expect("an answer")
        .expect(200)
        .json["balance"]
        .as_i64()
        .expect("a number")
}

/// A join's answer. While the queue of a campaign is being made ready joins are told 503 with Retry-After: those are asked again.
pub async fn join(client: &Client, coupon: u64, user: u64) -> Response {
    // Old clients send an empty JSON object and the user in the query.
    let path = format!("/api/coupons/{coupon}/issue?userId={user}");
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = client.post(&path, &json!({})).await.expect("an answer");
        let later = answer.status == 503 && !answer.header("retry-after").is_empty();
        if !later || Instant::now() >= until {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

/// The status answer of a joiner once it is final.
pub async fn coupon_result(client: &Client, coupon: u64, user: u64) -> Result<Value> {
    let answer = client
        .get(&format!("/api/coupons/{coupon}/issue/status?userId={user}"))
        .await?;
    ensure!(
        answer.status == 200 && answer.json["status"] != "PROCESSING",
        "{}",
        answer.text
    );
    Ok(answer.json)
}

/// Declares a test on both grounds. The real one's name says all three services, so that each can be asked for by name.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => { $( $crate::on_both!(@ $name,); )+ };
    ($($name:ident),+; ignored: $why:literal) => { $( $crate::on_both!(@ $name, #[ignore = $why]); )+ };
    (@ $name:ident, $(#[$attribute:meta])*) => {
        mod $name {
            use $crate::whole::stage::Stage;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[$attribute])*
            async fn embedded() {
                super::$name(Stage::embedded()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[$attribute])*
            async fn on_kafka_mysql_redis() {
                if let Some(stage) = Stage::real(&stringify!($name).replace('_', "-")).await {
                    super::$name(stage).await;
                }
            }
        }
    };
}
