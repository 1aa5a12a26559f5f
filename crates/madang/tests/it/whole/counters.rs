//! What orders and joins cost in messages to the three: a speed that no clock and no busy machine can blur. Each bound is two
//! to four times what was counted on a slow machine when it was written (some of it is polling, and grows with the time it takes); a
//! batch that falls apart, or a statement a row, goes past it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use testkit::{Client, MariaDb, Redis, ShopProcess, eventually, shared};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::stage::{Addresses, PATIENCE, Stage, join, one_line};

const COUNT: u64 = 1_000;
const HANDS: u64 = 64;

/// Messages to each of the three.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Statements, as MariaDB counts them: each of a text of several is one.
    statements: u64,
    commits: u64,
    kafka_requests: u64,
    redis_scripts: u64,
}

impl Cost {
    fn since(self, before: Self) -> Self {
        Self {
            statements: self.statements - before.statements,
            commits: self.commits - before.commits,
            kafka_requests: self.kafka_requests - before.kafka_requests,
            redis_scripts: self.redis_scripts - before.redis_scripts,
        }
    }

    fn is_within(self, bound: Self) {
        let fits = self.statements <= bound.statements
            && self.commits <= bound.commits
            && self.kafka_requests <= bound.kafka_requests
            && self.redis_scripts <= bound.redis_scripts;
        assert!(fits, "{self:?} goes past {bound:?}");
    }
}

struct Ground {
    stage: Stage,
    mariadb: MariaDb,
    redis: Arc<Redis>,
}

/// Servers whose counters nobody else moves; Kafka's requests are counted in the shop.
async fn ground(name: &str) -> Option<Ground> {
    let kafka = shared::kafka().await?;
    let mariadb = shared::own("MariaDB", MariaDb::start()).await?;
    let redis = Arc::new(shared::own("Redis", Redis::start()).await?);
    let database = mariadb.create_database("counted").await;
    let at = Addresses {
        database: database.expect("a database of the test's own"),
        redis: redis.url(),
        kafka: kafka.address(),
    };
    let stage = Stage::on(&format!("{name}-{:08x}", fastrand::u32(..)), at)
        .env("MADANG_KAFKA__STATISTICS_MS", "100");
    Some(Ground {
        stage,
        mariadb,
        redis,
    })
}

impl Ground {
    async fn cost(&self, shop: &ShopProcess) -> Result<Cost> {
        let status = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Com_commit')";
        let status = self.mariadb.execute(status).await?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|count| count.trim().parse::<u64>().ok())
                .with_context(|| format!("{name} in {status}"))
        };
        let metrics = shop.client().get("/metrics").await?.expect(200).text;
        Ok(Cost {
            statements: of("Questions")?,
            commits: of("Com_commit")?,
            kafka_requests: sum(&metrics, "madang_kafka_requests_total"),
            redis_scripts: scripts(&self.redis.url()).await?,
        })
    }

    /// The cost of what `ask` does a thousand times from many hands, and of all that follows from it: until every consumer that
    /// has a part in it has had its records.
    async fn cost_of<F>(
        &self,
        shop: &ShopProcess,
        ask: fn(Client, u64) -> F,
        consumers: &[&str],
    ) -> Cost
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let client = shop.client();
        let before = self.cost(shop).await.expect("counters");
        let mut hands = JoinSet::new();
        for hand in 0..HANDS {
            let client = client.clone();
            hands.spawn(async move {
                for n in (1 + hand..=COUNT).step_by(HANDS as usize) {
                    ask(client.clone(), n).await;
                }
            });
        }
        hands.join_all().await;
        eventually(PATIENCE, "every event has had its effect", async || {
            let metrics = client.get("/metrics").await?.expect(200).text;
            for consumer in consumers {
                let name = format!(
                    "madang_consumer_records_total{{consumer=\"{consumer}\",outcome=\"done\"}}"
                );
                let done = sum(&metrics, &name);
                ensure!(done >= COUNT, "{consumer}: {done}");
            }
            Ok(())
        })
        .await;
        let cost = self.cost(shop).await.expect("counters").since(before);
        println!("{COUNT} cost {cost:?}");
        cost
    }
}

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

/// Scripts that Redis has run.
async fn scripts(url: &str) -> Result<u64> {
    let address = url.trim_start_matches("redis://");
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.write_all(b"INFO commandstats\r\n").await?;
    let mut head = String::new();
    stream.read_line(&mut head).await?;
    let length: usize = head.trim().trim_start_matches('$').parse()?;
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await?;
    let text = String::from_utf8(text)?;
    let calls = text
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="))
        .and_then(|rest| rest.split(',').next()?.parse().ok());
    Ok(calls.unwrap_or(0))
}

async fn order(client: Client, n: u64) {
    let body = one_line(n, n % 50 + 1, 1);
    let answer = client.post("/api/orders", &body).await.expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text);
}

async fn queue_up(client: Client, n: u64) {
    let answer = join(&client, 1, n).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_orders_are_few_messages() {
    let Some(ground) = ground("counted-orders").await else {
        return;
    };
    let shop = ground.stage.open(1_000, 50, 1_000_000).await;
    let consumers = ["ranking", "analytics", "data-platform"];
    let cost = ground.cost_of(&shop, order, &consumers).await;
    let metrics = shop.client().get("/metrics").await.expect("metrics").text;
    let published = sum(&metrics, "madang_outbox_published_total");
    // A batch whose arrival on a fresh topic is not proven is sent again.
    assert!(published >= 3 * COUNT, "{published} events published");
    let told = sum(&metrics, "madang_outbox_delay_seconds_count");
    assert_eq!(told, published, "the delay of each event is told");
    cost.is_within(Cost {
        statements: 4_000,
        commits: 600,
        kafka_requests: 3_500,
        redis_scripts: 400,
    });
    ground.stage.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_joins_are_few_messages() {
    let Some(ground) = ground("counted-joins").await else {
        return;
    };
    ground.stage.seed(COUNT as u32, 1, 1, 1, COUNT as u32).await;
    let shop = ground
        .stage
        .settings
        .start()
        .await
        .expect("the shop starts");
    let cost = ground.cost_of(&shop, queue_up, &["coupon-issue"]).await;
    cost.is_within(Cost {
        statements: 1_000,
        commits: 60,
        kafka_requests: 700,
        redis_scripts: 300,
    });
    ground.stage.audit().await;
}
