//! What a client that is not ours sees on Kafka, and what it may write: read and written by kcat.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::eventually;

use super::stage::{PATIENCE, Stage, coupon_result, order};

/// Every record of a topic: partition, key, headers, value.
fn read(brokers: &str, topic: &str) -> Vec<Seen> {
    let output = Command::new("kcat")
        .args([
            "-C",
            "-b",
            brokers,
            "-t",
            topic,
            "-o",
            "beginning",
            "-e",
            "-q",
            "-J",
        ])
        .stdin(Stdio::null())
        .output()
        .expect("kcat is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("kcat prints JSON");
            let headers = record["headers"].as_array().cloned().unwrap_or_default();
            Seen {
                partition: record["partition"].as_i64().expect("a partition"),
                key: record["key"].as_str().unwrap_or_default().to_owned(),
                headers: headers
                    .chunks(2)
                    .filter_map(|h| Some((h[0].as_str()?.to_owned(), h[1].as_str()?.to_owned())))
                    .collect(),
                value: serde_json::from_str(record["payload"].as_str().unwrap_or("null"))
                    .unwrap_or_default(),
            }
        })
        .collect()
}

struct Seen {
    partition: i64,
    key: String,
    headers: Vec<(String, String)>,
    value: Value,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let all: Vec<&str> = self
            .headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .collect();
        assert!(all.len() == 1, "{name} once: {:?}", self.headers);
        all[0]
    }
}

fn write(brokers: &str, topic: &str, arguments: &[&str], text: &str) {
    let mut child = Command::new("kcat")
        .args(["-P", "-b", brokers, "-t", topic])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat is installed");
    child
        .stdin
        .take()
        .expect("its input")
        .write_all(text.as_bytes())
        .expect("written");
    assert!(child.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kcat_reads_what_the_shop_writes_on_kafka_mysql_redis() {
    let Some(stage) = Stage::real("kcat-reads").await else {
        return;
    };
    let brokers = stage.brokers.clone().expect("Kafka's address");
    let shop = stage.open(2, 3, 100).await;
    let placed = order(&shop.client(), 2, 3, 7).await;
    let id = placed["id"].to_string();
    stage.audit().await;

    let completed = read(&brokers, &stage.topic("order-completed-topic"));
    assert_eq!(completed.len(), 1);
    let record = &completed[0];
    assert_eq!(record.key, id);
    assert_eq!(record.value["orderId"], placed["id"]);
    assert_eq!(record.value["userCouponId"], Value::Null);
    assert_eq!(record.value["discountedAmount"], 7_000);
    assert_eq!(
        record.value["orderItems"][0]["productName"],
        placed["orderItems"][0]["productName"]
    );
    let ordered = record.value["orderedAt"].as_str().expect("a time");
    assert!(
        jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", ordered).is_ok(),
        "{ordered}"
    );
    assert_eq!(
        record.header("__TypeId__"),
        "kr.hhplus.be.server.shared.kafka.message.OrderCompletedMessage"
    );
    assert_eq!(record.header("ce_specversion"), "1.0");
    assert_eq!(record.header("ce_type"), "order.completed");
    assert_eq!(record.header("content-type"), "application/json");
    assert!(!record.header("ce_id").is_empty());
    assert_eq!(record.header("traceparent").len(), 55);

    let ranking = read(&brokers, &stage.topic("product-ranking-topic"));
    assert_eq!(ranking.len(), 1);
    assert_eq!(ranking[0].key, "3");
    // Java's murmur2 of "3" over three partitions.
    assert_eq!(ranking[0].partition, i64::from(murmur2_partition("3")));
    assert_eq!(ranking[0].value["soldQuantity"], 7);
    let platform = read(&brokers, &stage.topic("data-platform-transfer-topic"));
    assert_eq!(platform[0].value["orderStatus"], "COMPLETED");
    assert_eq!(platform[0].value["userName"], Value::Null);
}

/// Kafka's murmur2 written a second time, from its definition, so that the shop's own is not its judge.
fn murmur2_partition(key: &str) -> u32 {
    let m: u32 = 0x5bd1_e995;
    let data = key.as_bytes();
    let mut h = 0x9747_b28c_u32 ^ u32::try_from(data.len()).expect("short");
    assert!(data.len() < 4, "only the tail is needed here");
    for (i, byte) in data.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * i);
    }
    h = h.wrapping_mul(m);
    h ^= h >> 13;
    h = h.wrapping_mul(m);
    h ^= h >> 15;
    (h & 0x7fff_ffff) % 3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_reads_what_a_jvm_shop_wrote_on_kafka_mysql_redis() {
    let Some(stage) = Stage::real("jvm-writes").await else {
        return;
    };
    let brokers = stage.brokers.clone().expect("Kafka's address");
    stage.seed(5, 3, 100, 1, 10).await;
    let shop = stage.settings.start().await.expect("the shop starts");
    let client = shop.client();

    // As the JVM shop's serializer wrote it: no header, the time as an array, amounts as decimals, its own key.
    let coupon = json!({"userId": 4, "couponId": 1, "couponName": "c", "discountAmount": 1000.00,
        "maxIssuanceCount": 10, "requestedAt": [2026, 11, 22, 14, 15, 2, 40_318_414]});
    let topic = stage.topic("coupon-issue-events");
    write(
        &brokers,
        &topic,
        &["-K", "|"],
        &format!("coupon-1-user-4|{coupon}\n"),
    );
    let result = eventually(PATIENCE, "the JVM shop's joiner is served", async || {
        coupon_result(&client, 1, 4).await
    })
    .await;
    assert_eq!(result["status"], "SUCCESS");

    // Not JSON, not the right shape; the neighbour is counted all the same.
    let topic = stage.topic("product-ranking-topic");
    let sold = json!({"orderId": 9, "productId": 2, "productName": "p", "quantity": 3, "soldQuantity": 3,
        "orderedAt": now_as_pattern(), "eventOccurredAt": now_as_pattern()});
    let lines =
        format!("product-2|not json\nproduct-2|{{\"productId\":\"x\"}}\nproduct-2|{sold}\n");
    write(&brokers, &topic, &["-K", "|"], &lines);
    eventually(PATIENCE, "the good record is counted", async || {
        let list = client.get("/api/products/popular?window=today").await?;
        ensure!(list.json[0]["soldQuantity"] == 3, "{}", list.text);
        Ok(())
    })
    .await;
    let dead =
        stage.topic("product-ranking-topic") + "-" + &stage.topic("product-ranking-group") + "-dlt";
    let letters = eventually(PATIENCE, "both are dead-lettered", async || {
        let letters = read(&brokers, &dead);
        ensure!(letters.len() == 2, "{}", letters.len());
        Ok(letters)
    })
    .await;
    for letter in &letters {
        assert_eq!(letter.key, "product-2");
        assert_eq!(letter.header("kafka_dlt-original-topic"), topic);
        assert!(!letter.header("kafka_dlt-exception-fqcn").is_empty());
        assert!(!letter.header("kafka_dlt-exception-message").is_empty());
    }
}

fn now_as_pattern() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}
