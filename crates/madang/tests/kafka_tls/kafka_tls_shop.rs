//! An order's way over SASL_SSL, from settings as an operator writes them, and what the operator sees when they are wrong.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::{
    Door, Finished, PASSWORD, SecuredKafka, ShopProcess, ShopSettings, USER, eventually, shared,
};

/// How long a broken run may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The settings file, in the shop's working directory.
const FILE: &str = "shop.toml";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_goes_through_sasl_ssl_to_analytics() -> Result<()> {
    let Some(broker) = shared::secured_kafka().await else {
        return Ok(());
    };
    let settings = shop(broker, Door::SaslSsl, &broker.authority(), PASSWORD)?;
    let stock = ["--stock", "10", "--price", "1000", "--balance", "9000"];
    let seed = [
        "seed",
        "--users",
        "1",
        "--products",
        "1",
        "--coupons",
        "0",
        "--quota",
        "1",
    ];
    let seed = [&seed[..], &stock].concat();
    run(&settings, &seed).await?.expect_success();
    let mut running = settings.start().await?;
    let client = running.client();
    let lines = json!({"userId": 1, "orderItems": [{"productId": 1, "quantity": 3}]});
    client.post("/api/orders", &lines).await?.expect(201);
    eventually(PATIENCE, "analytics counts it", async || {
        let hour = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
        let path = format!("/api/stats/sales?from={hour}&to={until}&by=product");
        let sales = client.get(&path).await?.expect(200);
        ensure!(sales.json["items"][0]["quantity"] == 3, "{}", sales.text);
        Ok(())
    })
    .await;
    run(&settings, &["audit", "--wait", "60"])
        .await?
        .expect_success();
    let topics = run(&settings, &["topics", "list"]).await?.expect_success();
    assert!(
        topics.stdout.contains("order-completed-topic"),
        "{topics:?}"
    );
    let shown = run(&settings, &["config"]).await?.expect_success().stdout;
    assert!(
        shown.contains("sasl.username") && !shown.contains(PASSWORD),
        "{shown}"
    );
    assert_eq!(running.stop().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_an_unknown_authority_and_a_wrong_host_are_told_by_readiness_and_log()
-> Result<()> {
    let Some(broker) = shared::secured_kafka().await else {
        return Ok(());
    };
    for (door, authority, password, says) in [
        (
            Door::SaslSsl,
            broker.authority(),
            "wrong-password",
            "authentication failed",
        ),
        (
            Door::SaslSsl,
            broker.stranger(),
            PASSWORD,
            "signed by nobody who is trusted here",
        ),
        (
            Door::Misnamed,
            broker.authority(),
            PASSWORD,
            "names other hosts",
        ),
    ] {
        let settings = shop(broker, door, &authority, password)?;
        let mut running = settings.start_unready()?;
        let detail = kafka_is_not_there(&running, says).await;
        assert!(!detail.contains(password), "{detail}");
        // The log says it too, and once: not a line at every attempt.
        let logs = running.logs();
        let told = logs
            .lines()
            .filter(|line| line.contains("dependency is not there") && line.contains(says));
        assert_eq!(told.count(), 1, "{logs}");
        assert_eq!(running.stop().await?, 0, "{}", running.logs());
        let listed = run(&settings, &["topics", "list"]).await?;
        assert_eq!(listed.code, 1);
        assert!(listed.stderr.contains(says), "{}", listed.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn security_that_cannot_work_stops_the_start_by_name() -> Result<()> {
    let Some(broker) = shared::secured_kafka().await else {
        return Ok(());
    };
    let right = shop(broker, Door::SaslSsl, &broker.authority(), PASSWORD)?;
    for (name, value, says) in [
        (
            "SECURITY_PROTOCOL",
            "plaintext",
            "setting kafka.client.\"sasl.mechanism\" = \"SCRAM-SHA-512\": does nothing unless",
        ),
        (
            "SASL_MECHANISM",
            "GSSAPI",
            "setting kafka.client.\"security.protocol\" = \"SASL_SSL\": needs sasl.mechanism",
        ),
        ("SSL_CA_LOCATION", "/nowhere/ca.pem", "ssl.ca.location"),
        (
            "SASL_PASWORD",
            "hunter2",
            "setting kafka.client.\"sasl.pasword\"",
        ),
    ] {
        let wrong = right
            .clone()
            .env(format!("MADANG_KAFKA__CLIENT__{name}"), value);
        let said = run(&wrong, &["serve"]).await?;
        assert_eq!(said.code, 2, "{name}: {}", said.stderr);
        assert!(said.stderr.contains(says), "{name}: {}", said.stderr);
        assert!(!said.stderr.contains(PASSWORD), "{name}: {}", said.stderr);
    }
    Ok(())
}

/// On SQLite and this way in to Kafka: names in the settings file, the password in the environment.
fn shop(
    broker: &SecuredKafka,
    door: Door,
    authority: &Path,
    password: &str,
) -> Result<ShopSettings> {
    let settings = ShopSettings::new(env!("CARGO_BIN_EXE_madang"))?;
    let login = format!("\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\"sasl.username\" = \"{USER}\"\n");
    let (protocol, login) = match door {
        Door::SaslSsl => ("SASL_SSL", login.as_str()),
        _ => ("SSL", ""),
    };
    let text = format!(
        "[auth]\nmode = \"off\"\n[kafka]\nbrokers = \"{}\"\n[kafka.client]\n\"security.protocol\" = \"{protocol}\"\n# Without quotes it means the same.\nssl.ca.location = \"{}\"\n{login}",
        broker.address(door),
        authority.display(),
    );
    std::fs::write(settings.folder().join(FILE), text)?;
    let settings = settings.arg("--config").arg(FILE);
    Ok(match door {
        Door::SaslSsl => settings.env("MADANG_KAFKA__CLIENT__SASL_PASSWORD", password),
        _ => settings,
    })
}

/// A command on the same settings.
async fn run(settings: &ShopSettings, arguments: &[&str]) -> Result<Finished> {
    settings
        .run(&[arguments, &["--config", FILE]].concat())
        .await
}

/// Waits until `/readyz` says so of Kafka; the whole detail.
async fn kafka_is_not_there(shop: &ShopProcess, says: &str) -> String {
    let client = shop.client();
    eventually(PATIENCE, says, async || {
        let report = client.get("/readyz").await?;
        ensure!(report.status == 503, "{}", report.text);
        let all = report.json["dependencies"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let kafka = all.iter().find(|it| it["name"] == "kafka");
        let detail = kafka
            .and_then(|it| it["detail"].as_str())
            .unwrap_or_default()
            .to_owned();
        ensure!(detail.contains(says), "{}", report.text);
        Ok(detail)
    })
    .await
}
