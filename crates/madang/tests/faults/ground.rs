//! Shops on the real three where one of them is the test's own, to be killed, or lies behind a proxy.
//! Timeouts towards the services are the defaults of the shop, not the patient ones of other tests: a fault has to be noticed.
//! Used by the tests of this folder.

use testkit::{Kafka, KafkaCluster, MariaDb, Proxy, Redis, ShopProcess, free_port, shared};

use crate::whole::stage::{Addresses, Stage};

/// A broker that the test may kill; what it does not kill is shared, or ends with the stage. Those below likewise.
pub async fn own_kafka(name: &str) -> Option<(Stage, Kafka)> {
    let database = database(shared::mariadb().await?, name).await;
    let redis = shared::redis().await?;
    let own = shared::own("Kafka", Kafka::start()).await?;
    let at = Addresses {
        database,
        redis: redis.url(),
        kafka: own.address(),
    };
    Some((stage(name, at).keeping(redis), own))
}

pub async fn own_cluster(name: &str) -> Option<(Stage, KafkaCluster)> {
    let database = database(shared::mariadb().await?, name).await;
    let redis = shared::redis().await?;
    let own = shared::own("three Kafka brokers", KafkaCluster::start()).await?;
    let at = Addresses {
        database,
        redis: redis.url(),
        kafka: own.address(),
    };
    Some((stage(name, at).keeping(redis), own))
}

pub async fn own_redis(name: &str) -> Option<(Stage, Redis)> {
    let database = database(shared::mariadb().await?, name).await;
    let kafka = shared::kafka().await?.address();
    let own = shared::own("Redis", Redis::start()).await?;
    let at = Addresses {
        database,
        redis: own.url(),
        kafka,
    };
    Some((stage(name, at), own))
}

pub async fn own_mariadb(name: &str) -> Option<(Stage, MariaDb)> {
    let kafka = shared::kafka().await?.address();
    let redis = shared::redis().await?;
    let own = shared::own("MariaDB", MariaDb::start()).await?;
    let at = Addresses {
        database: database(&own, name).await,
        redis: redis.url(),
        kafka,
    };
    Some((stage(name, at).keeping(redis), own))
}

/// The shared MariaDB behind a proxy of the test's own.
pub async fn proxied_mariadb(name: &str) -> Option<(Stage, Proxy)> {
    let mariadb = shared::mariadb().await?;
    let kafka = shared::kafka().await?.address();
    let redis = shared::redis().await?;
    let direct = database(mariadb, name).await;
    let server = host_and_port(&direct);
    let own = Proxy::start(server.clone()).await.expect("a proxy");
    let at = Addresses {
        database: direct.replace(&server, &own.address()),
        redis: redis.url(),
        kafka,
    };
    Some((stage(name, at).keeping(redis), own))
}

/// Names of its own for topics and groups, so that services can be shared.
fn stage(name: &str, at: Addresses) -> Stage {
    let name = format!("{name}-{:08x}", fastrand::u32(..));
    attentive(Stage::on(&name, at))
}

async fn database(mariadb: &MariaDb, name: &str) -> String {
    mariadb
        .create_database(&name.replace('-', "_"))
        .await
        .expect("a database of the test's own")
}

/// `host:port` of `mysql://user@host:port/database`.
fn host_and_port(url: &str) -> String {
    let after_user = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    let end = after_user.find('/').unwrap_or(after_user.len());
    after_user[..end].to_owned()
}

/// Notices what is gone about as soon as by default, where the other tests wait for most of a minute.
pub fn attentive(stage: Stage) -> Stage {
    stage
        .env("MADANG_DATABASE__ACQUIRE_TIMEOUT_MS", "5000")
        .env("MADANG_REDIS__RESPONSE_TIMEOUT_MS", "5000")
        .env("MADANG_REDIS__CONNECT_TIMEOUT_MS", "5000")
        .env("MADANG_KAFKA__REQUEST_TIMEOUT_MS", "10000")
}

/// The stage whose shop has one port for all its starts, so that clients find it again.
pub fn on_one_port(mut stage: Stage) -> Stage {
    stage.settings = stage.settings.port(free_port());
    stage
}

/// Seeded for the load of `load`, with one process that has every role.
pub async fn open(stage: &Stage) -> ShopProcess {
    seed(stage).await;
    stage.settings.start().await.expect("the shop starts")
}

pub async fn seed(stage: &Stage) {
    stage.seed(400, 5, 1_000_000, 1, 1_000_000).await;
}

/// The sum of a counter of `/metrics` over its labels.
pub async fn counted(shop: &ShopProcess, name: &str) -> f64 {
    let text = shop.client().get("/metrics").await.expect("metrics").text;
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
