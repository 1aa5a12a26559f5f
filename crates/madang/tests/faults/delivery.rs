//! Rows "every record delivered three times, reordered across partitions", "rebalance storm" and "poison record".
//! What is delivered again changes nothing, what cannot be read is put aside with its cause, and neighbours do not wait for it.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::ensure;
use messaging::kafka::{self, KafkaLog};
use messaging::log::{EventLog as _, TopicSpec};
use serde_json::{Value, json};
use testkit::{Client, ShopProcess, eventually};

use crate::ground;
use crate::load::{Load, Plan};
use crate::on_both;
use crate::settle::{Places, check};
use crate::whole::stage::{PATIENCE, Stage, order};

on_both!(
    everything_is_delivered_three_times_and_in_another_order,
    poison_is_put_aside_and_nobody_waits_for_it,
);

const TOPICS: [&str; 4] = [
    "order-completed-topic",
    "product-ranking-topic",
    "coupon-issue-events",
    "data-platform-transfer-topic",
];

/// All records of a topic, as `consume` prints them.
pub async fn records(stage: &Stage, topic: &str) -> Vec<Value> {
    let read = stage
        .settings
        .run(&[
            "consume",
            topic,
            "--from-beginning",
            "--format",
            "json",
            "--idle-exit-ms",
            "3000",
        ])
        .await
        .expect("consume runs")
        .expect_success();
    let lines = read.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Publishes with the shop's own command, which takes what `records` gives.
async fn produce(stage: &Stage, arguments: &[&str], input: Vec<u8>) {
    let mut child = stage
        .settings
        .command()
        .arg("produce")
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("produce runs");
    let mut stdin = child.stdin.take().expect("its input");
    let ended = tokio::task::spawn_blocking(move || {
        let written = stdin.write_all(&input);
        drop(stdin);
        written.and_then(|()| child.wait_with_output())
    });
    let output = ended.await.expect("no panic").expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Row: every record delivered three times, reordered across partitions. About 25 s on each.
async fn everything_is_delivered_three_times_and_in_another_order(stage: Stage) {
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(80).await;
    load.more_places(20).await;
    let journal = load.stop().await;
    stage.audit().await;
    let sold = sold_today(&client, "before").await;

    let mut again = 0;
    for topic in TOPICS {
        let topic = stage.topic(topic);
        let mut all = records(&stage, &topic).await;
        assert!(!all.is_empty(), "{topic} is empty");
        for round in 0..3 {
            fastrand::shuffle(&mut all);
            let lines = all.iter().map(|record| {
                let mut record = record.clone();
                if round > 0 {
                    // The key decides the partition: another key, another partition.
                    record["key"] = json!(fastrand::u32(..).to_string());
                }
                record.to_string() + "\n"
            });
            let lines: String = lines.collect();
            produce(&stage, &[&topic, "--format", "json"], lines.into_bytes()).await;
            again += all.len();
        }
    }
    stage.audit().await;
    assert_eq!(sold_today(&client, "after").await, sold);
    println!("{again} records delivered again");
    check(&stage, &client, journal, Places::Kept).await;
}

/// What today's board says, past its cache.
async fn sold_today(client: &Client, limit_tag: &str) -> i64 {
    // Another limit is another entry of the answers' cache.
    let limit = if limit_tag == "before" { 20 } else { 21 };
    let path = format!("/api/products/popular?window=today&limit={limit}");
    let list = client.get(&path).await.expect("an answer").expect(200);
    let items = list.json.as_array().cloned().unwrap_or_default();
    let sold = items.iter().filter_map(|it| it["soldQuantity"].as_i64());
    sold.sum()
}

const LARGE_BYTES: usize = 10_000_000;

/// A stage whose topic takes records of `LARGE_BYTES`, as operators of the topic may have set it before the shop comes.
async fn taking_large_records(stage: Stage, topic: &str) -> Stage {
    let max_message_bytes = LARGE_BYTES as i64 + 1_000_000;
    let Some(brokers) = stage.brokers.clone() else {
        let limit = max_message_bytes.to_string();
        return stage.env("MADANG_EVENTS__EMBEDDED__MAX_MESSAGE_BYTES", limit);
    };
    let settings = kafka::Settings {
        brokers,
        ..kafka::Settings::default()
    };
    let topic = TopicSpec {
        name: stage.topic(topic),
        partitions: 3,
        replication: 1,
        retention_ms: None,
        max_message_bytes: Some(max_message_bytes),
    };
    let log = KafkaLog::connect(settings).expect("the broker's log");
    log.create_topics(&[topic]).await.expect("a new topic");
    stage
}

/// Row: poison record. About 15 s on each.
async fn poison_is_put_aside_and_nobody_waits_for_it(stage: Stage) {
    let stage = taking_large_records(stage, "product-ranking-topic").await;
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let (topic, group) = (
        stage.topic("product-ranking-topic"),
        stage.topic("product-ranking-group"),
    );
    let before = order(&client, 1, 3, 1).await;
    let big = format!("{{\"productId\":\"{}\"}}", "9".repeat(LARGE_BYTES));
    let poison = [
        "not json",
        r#"["productId", 3]"#,
        r#"{"productId":"three","soldQuantity":1}"#,
        r#"{"somethingElse":1}"#,
        big.as_str(),
    ];
    // All of them where product 3 is, so that they lie between its sales.
    let lines: String = poison.iter().map(|value| format!("{value}\n")).collect();
    let arguments = [
        topic.as_str(),
        "--key",
        "3",
        "--header",
        "ce_type=unheard.of",
    ];
    produce(&stage, &arguments, lines.into_bytes()).await;
    let after = order(&client, 1, 3, 2).await;
    assert_ne!(before["id"], after["id"]);
    eventually(PATIENCE, "the neighbours are counted", async || {
        let path = "/api/products/popular?window=today&limit=20";
        let list = client.get(path).await?;
        ensure!(list.json[0]["soldQuantity"] == 3, "{}", list.text);
        Ok(())
    })
    .await;

    let dead = format!("{topic}-{group}-dlt");
    let letters = eventually(PATIENCE, "all are dead-lettered", async || {
        let letters = records(&stage, &dead).await;
        ensure!(letters.len() == poison.len(), "{}", letters.len());
        Ok(letters)
    })
    .await;
    let named = |letter: &Value, name: &str| {
        let headers = letter["headers"].as_array().cloned().unwrap_or_default();
        let header = headers.iter().find(|h| h["name"] == name)?;
        Some(header["value"].as_str().unwrap_or_default().to_owned())
    };
    for letter in &letters {
        let origin = named(letter, "kafka_dlt-original-topic");
        assert_eq!(origin.as_deref(), Some(topic.as_str()));
        let cause = named(letter, "kafka_dlt-exception-message").unwrap_or_default();
        assert!(!cause.is_empty(), "without a cause: {letter}");
    }
    // They come as they were: bytes, not what became of them.
    let sizes: Vec<usize> = letters
        .iter()
        .map(|it| it["value"].to_string().len())
        .collect();
    assert!(sizes.iter().any(|size| *size > LARGE_BYTES), "{sizes:?}");
    stage.audit().await;
}

/// Row: rebalance storm, a short one. About 40 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_on_kafka_mysql_redis() {
    storm("rebalance-15", Duration::from_secs(15), Plan::STEADY).await;
}

/// Row: rebalance storm (a member joins or leaves every 5 s for 60 s). About 90 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about 90 s: full run"]
async fn members_come_and_go_for_a_minute_on_kafka_mysql_redis() {
    storm("rebalance-60", Duration::from_secs(60), Plan::LONG).await;
}

/// Between a member that comes or goes and the next.
const EVERY: Duration = Duration::from_secs(5);

async fn storm(name: &str, lasts: Duration, plan: Plan) {
    let Some(stage) = Stage::real(name).await else {
        return;
    };
    // A member that was killed is gone for the group after this.
    let stage = stage.env("MADANG_KAFKA__SESSION_TIMEOUT_MS", "10000");
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, plan);
    load.more_orders(20).await;
    let until = Instant::now() + lasts;
    let mut member: Option<ShopProcess> = None;
    let mut changes = 0;
    while Instant::now() < until {
        let next = tokio::time::Instant::now() + EVERY;
        match member.take() {
            None => {
                let second = stage.settings.clone().arg("--role").arg("consumers");
                member = Some(second.start().await.expect("a second member"));
            }
            // Every other one goes without a word.
            Some(mut second) if changes % 4 == 1 => second.kill(),
            Some(mut second) => assert_eq!(second.stop().await.expect("it ends"), 0),
        }
        changes += 1;
        load.more_orders(5).await;
        tokio::time::sleep_until(next).await;
    }
    drop(member);
    let journal = load.stop().await;
    stage.audit().await;
    println!("members came or went {changes} times");
    check(&stage, &client, journal, Places::Kept).await;
}
