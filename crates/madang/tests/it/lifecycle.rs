//! From start to stop: ready, locked, waiting, drained.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{eventually, free_port};

use crate::modes::{embedded, real};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_shop_on_nothing_is_ready_and_stops_with_0() -> Result<()> {
    let mut shop = embedded().start().await?;
    let client = shop.client();
    assert_eq!(
        client.get("/healthz").await?.expect(200).json["status"],
        "alive"
    );
    let ready = client.get("/readyz").await?.expect(200).json;
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["dependencies"][0]["name"], "database");
    let metrics = client.get("/metrics").await?.expect(200);
    assert!(metrics.header("content-type").starts_with("text/plain"));
    assert!(
        metrics.text.contains("madang_http_requests_total{"),
        "{}",
        metrics.text
    );
    assert_eq!(shop.stop().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_second_serve_on_the_same_data_is_refused() -> Result<()> {
    let settings = embedded();
    let mut shop = settings.start().await?;
    let mut second = settings.start_unready()?;
    assert_eq!(second.wait(SOON).await?, 1);
    assert!(
        second.logs().contains("another `madang serve` runs"),
        "{}",
        second.logs()
    );
    assert_eq!(shop.stop().await?, 0);
    settings.start().await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_topic_that_became_too_small_is_named() -> Result<()> {
    let settings = embedded();
    let mut shop = settings.start().await?;
    assert!(!shop.logs().contains("should take"), "{}", shop.logs());
    assert_eq!(shop.stop().await?, 0);
    // From now on the sources take more than what was created beside them.
    let raised = settings.env("MADANG_EVENTS__EMBEDDED__MAX_MESSAGE_BYTES", "2000000");
    let shop = raised.start().await?;
    let said = "takes records of 1114124 bytes and should take 2065536";
    eventually(SOON, "each of them is named", async || {
        let logs = shop.logs();
        let dead = ["data-platform-group-dlt", "outbox-dlt"];
        for topic in dead.map(|end| format!("topic data-platform-transfer-topic-{end} {said}")) {
            ensure!(logs.contains(&topic), "{topic}: {logs}");
        }
        Ok(())
    })
    .await;
    let marks = ["topics", "describe", "data-platform-transfer-topic"];
    let described = raised.run(&marks).await?.expect_success().stdout;
    ensure!(described.contains("up to 2000000 bytes"), "{described}");
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_named() -> Result<()> {
    let shop = embedded().start().await?;
    let address = shop.base_url().replace("http://", "");
    let said = embedded().run(&["serve", "--listen", &address]).await?;
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains(&address) && said.stderr.contains("http.listen"),
        "{}",
        said.stderr
    );
    Ok(())
}

#[tokio::test]
async fn every_role_alone_answers_health_and_metrics() -> Result<()> {
    for role in [
        "api",
        "relay",
        "coupon-scheduler",
        "consumers",
        "consumers=ranking",
        "janitor",
    ] {
        let mut shop = embedded().arg("--role").arg(role).start().await?;
        let client = shop.client();
        client.get("/metrics").await?.expect(200);
        let expected = if role == "api" { 401 } else { 404 };
        client.get("/api/users/balance").await?.expect(expected);
        assert_eq!(shop.stop().await?, 0, "{role}");
    }
    Ok(())
}

#[tokio::test]
async fn servers_that_are_not_there_are_waited_for_and_named() -> Result<()> {
    let nobody = free_port();
    let mut shop = embedded()
        .env(
            "MADANG_DATABASE__URL",
            format!("mysql://u:p@127.0.0.1:{nobody}/shop"),
        )
        .env("MADANG_REDIS__URL", format!("redis://127.0.0.1:{nobody}"))
        .env("MADANG_KAFKA__BROKERS", format!("127.0.0.1:{nobody}"))
        .env("MADANG_AUTH__MODE", "off")
        .start_unready()?;
    let client = shop.client();
    let report = eventually(SOON, "each missing server is named", async || {
        let report = client.get("/readyz").await?;
        let all = report.json["dependencies"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(
            all.len() == 4 && all.iter().all(|d| d["detail"].is_string()),
            "{}",
            report.text
        );
        Ok(report)
    })
    .await;
    assert_eq!(report.status, 503);
    assert_eq!(report.json["status"], "not-ready");
    client.get("/healthz").await?.expect(200);
    let refused = client.get("/api/users/balance?userId=1").await?.expect(503);
    assert_eq!(refused.json["code"], "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(shop.stop().await?, 0);
    Ok(())
}

#[tokio::test]
async fn two_processes_start_at_once_on_kafka_and_mariadb() -> Result<()> {
    let Some(place) = real().await else {
        return Ok(());
    };
    let place = place?;
    let mut shops = Vec::new();
    for _ in 0..3 {
        shops.push(place.settings.start_unready()?);
    }
    for shop in &mut shops {
        shop.ready(Duration::from_secs(60)).await?;
        let report = shop.client().get("/readyz").await?.expect(200);
        let all = report.json["dependencies"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let names: Vec<_> = all
            .iter()
            .map(|d| d["name"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(names, ["database", "kafka", "redis", "coupon-queue"]);
    }
    for shop in &mut shops {
        assert_eq!(shop.stop().await?, 0, "{}", shop.logs());
    }
    Ok(())
}

#[tokio::test]
async fn a_topic_with_too_few_partitions_stops_the_start_on_kafka() -> Result<()> {
    let Some(place) = real().await else {
        return Ok(());
    };
    let place = place?;
    place.settings.start().await?.stop().await?;
    let more = place
        .settings
        .env("MADANG_TOPICS__ORDER_COMPLETED__PARTITIONS", "4");
    let mut shop = more.start_unready()?;
    assert_eq!(shop.wait(SOON).await?, 1);
    let logs = shop.logs();
    assert!(
        logs.contains("has 3 partitions and the settings ask for 4"),
        "{logs}"
    );
    Ok(())
}
