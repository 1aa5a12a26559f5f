//! Dead letters from their death to their second life: seen, sent back, received once, and the shop's books agree.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::eventually;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::stage::{PATIENCE, Stage, order};
use crate::on_both;
use crate::records::feed;

on_both!(a_dead_letter_comes_back_to_its_group_and_counts_once);

/// What `madang dlt` with these arguments prints, as JSON a line or as a whole.
async fn dlt(stage: &Stage, arguments: &[&str]) -> Result<String> {
    let all = [&["dlt"], arguments, &["--json"]].concat();
    let said = stage.settings.run(&all).await?;
    ensure!(said.code == 0, "{all:?}: {}", said.stderr);
    Ok(said.stdout)
}

/// The entry of the data platform's dead-letter topic, once it holds so many.
async fn listed(stage: &Stage, records: u64) -> Value {
    let group = stage.topic("data-platform-group");
    eventually(PATIENCE, "they are listed", async || {
        let all: Value = serde_json::from_str(&dlt(stage, &["list", "--group", &group]).await?)?;
        ensure!(all[0]["records"] == records, "{all}");
        Ok(all[0].clone())
    })
    .await
}

async fn shown(stage: &Stage, filter: &[&str]) -> Vec<Value> {
    let lines = dlt(stage, &[&["show"], filter].concat()).await.unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON a line"))
        .collect()
}

/// Redrives and says of the first topic: sent, redriven before.
async fn redriven(stage: &Stage, filter: &[&str]) -> (Value, Value) {
    let group = stage.topic("data-platform-group");
    let arguments = [&["redrive", "--group", &group], filter].concat();
    let said = dlt(stage, &arguments).await.unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    (said[0]["sent"].clone(), said[0]["redrivenBefore"].clone())
}

/// Bodies and ids of the order's deliveries.
async fn deliveries(platform: &MockServer, order: &Value) -> Vec<String> {
    let all = platform.received_requests().await.unwrap_or_default();
    let of_order = all.iter().filter(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        body["orderId"] == order["id"]
    });
    of_order
        .map(|request| request.headers["webhook-id"].to_str().unwrap().to_owned())
        .collect()
}

async fn answers(platform: &MockServer, status: u16) {
    platform.reset().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(status))
        .mount(platform)
        .await;
}

/// The refused delivery beside a record that cannot be read; the refused one's id.
async fn looked_at(stage: &Stage, placed: &Value, source: &str) -> String {
    let sum = listed(stage, 2).await;
    assert_eq!(sum["notRedriven"], 2);
    assert_eq!(
        sum["causes"],
        json!({"DeliveryRefused": 1, "MalformedValue": 1})
    );
    let all = shown(stage, &["--cause", "DeliveryRefused", "--since", "1h"]).await;
    let letter = &all[0];
    assert_eq!(all.len(), 1);
    assert_eq!(letter["key"], placed["id"].to_string());
    assert_eq!(letter["original"]["topic"], source);
    assert_eq!(
        (&letter["deliveries"], &letter["redriven"]),
        (&json!(1), &json!(false))
    );
    let said = stage
        .settings
        .run(&["dlt", "show"])
        .await
        .unwrap()
        .expect_success();
    let id = letter["id"].as_str().unwrap().to_owned();
    assert!(
        said.stdout.contains(&id) && said.stdout.contains("retry_topic-attempts = 2"),
        "{}",
        said.stdout
    );
    assert!(shown(stage, &["--until", "1h"]).await.is_empty());
    id
}

async fn sent_back_once(
    stage: &Stage,
    platform: &MockServer,
    placed: &Value,
    id: &str,
    refused: &[String],
) {
    let one = ["--id", id];
    assert_eq!(
        redriven(stage, &["--id", id, "--dry-run"]).await,
        (json!(1), json!(0))
    );
    assert_eq!(redriven(stage, &one).await, (json!(1), json!(0)));
    let received = eventually(PATIENCE, "the platform receives it", async || {
        let received = deliveries(platform, placed).await;
        ensure!(!received.is_empty(), "nothing yet");
        Ok(received)
    })
    .await;
    assert_eq!(received, refused, "the same id");
    assert_eq!(redriven(stage, &one).await, (json!(0), json!(1)));
    assert_eq!(
        redriven(stage, &["--id", id, "--again"]).await,
        (json!(1), json!(1))
    );
}

async fn a_dead_letter_comes_back_to_its_group_and_counts_once(stage: Stage) {
    let platform = MockServer::start().await;
    answers(&platform, 422).await;
    let stage = stage.env("MADANG_DATA_PLATFORM__URL", platform.uri());
    let shop = stage.open(1, 1, 10).await;
    let placed = order(&shop.client(), 1, 1, 2).await;
    let source = stage.topic("data-platform-transfer-topic");
    feed(
        &stage.settings,
        &["produce", &source, "--key", "9"],
        "not json\n",
    )
    .unwrap();

    let id = looked_at(&stage, &placed, &source).await;
    let refused = deliveries(&platform, &placed).await;
    assert_eq!(refused.len(), 1);
    answers(&platform, 204).await;
    sent_back_once(&stage, &platform, &placed, &id, &refused).await;

    // What cannot be read comes back with its count.
    assert_eq!(
        redriven(&stage, &["--cause", "MalformedValue"]).await.0,
        json!(1)
    );
    assert_eq!(listed(&stage, 3).await["notRedriven"], 1);
    let again = shown(&stage, &["--not-redriven"]).await;
    assert_eq!(again[0]["deliveries"], 2);
    assert_eq!(again[0]["original"]["topic"], source);
    assert_eq!(again[0]["value"], "not json");

    stage.audit().await;
    assert_eq!(deliveries(&platform, &placed).await, refused, "once");
    let described = ["topics", "describe", &source, "--json"];
    let said = stage
        .settings
        .run(&described)
        .await
        .unwrap()
        .expect_success();
    let topic: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        topic["offsets"][0]["high"], 2,
        "other groups saw nothing of it"
    );
    let missing = format!("{source}-{}-dlt-0@999", stage.topic("data-platform-group"));
    let said = stage
        .settings
        .run(&["dlt", "redrive", "--id", &missing])
        .await
        .unwrap();
    assert_eq!(said.code, 1, "{}", said.stdout);
}
