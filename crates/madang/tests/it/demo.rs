//! What a newcomer sees: the demo prints requests, and they work.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{ShopProcess, eventually};

use crate::modes::{embedded, steady};

const SOON: Duration = Duration::from_secs(60);

/// The requests that the shop printed, as shell commands.
async fn requests(shop: &ShopProcess) -> Vec<String> {
    eventually(SOON, "the demo prints its requests", async || {
        let logs = shop.logs();
        let lines = logs.lines().filter(|line| line.starts_with("curl "));
        let found: Vec<_> = lines.map(str::to_owned).collect();
        ensure!(found.len() == 3, "{logs}");
        Ok(found)
    })
    .await
}

/// What a shell prints that a request is pasted into.
async fn paste(request: &str) -> Result<String> {
    let output = tokio::process::Command::new("sh")
        .args(["-c", request])
        .stdin(Stdio::null())
        .output()
        .await
        .context("a shell and curl")?;
    Ok(String::from_utf8(output.stdout)?)
}

async fn the_printed_requests_work(shop: &ShopProcess) -> Result<()> {
    let requests = requests(shop).await;
    let order: Value = serde_json::from_str(&paste(&requests[0]).await?)?;
    assert_eq!(order["status"], "COMPLETED", "{order}");
    let coupon = paste(&requests[1]).await?;
    assert!(
        coupon.contains("\"QUEUED\"") || coupon.contains("already"),
        "{coupon}"
    );
    eventually(SOON, "the best sellers are shown", async || {
        let best: Value = serde_json::from_str(&paste(&requests[2]).await?)?;
        ensure!(best[0]["productId"] == 1, "{best}");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn the_demo_fills_an_empty_shop_and_its_requests_work_again_and_again() -> Result<()> {
    let settings = steady().arg("--demo");
    let mut shop = settings.start().await?;
    the_printed_requests_work(&shop).await?;
    assert_eq!(shop.stop().await?, 0);
    let shop = settings.start().await?;
    the_printed_requests_work(&shop).await?;
    settings
        .run(&["audit", "--wait", "60"])
        .await?
        .expect_success();
    Ok(())
}

#[tokio::test]
async fn the_demo_works_without_authentication_too() -> Result<()> {
    let shop = steady()
        .env("MADANG_AUTH__MODE", "off")
        .arg("--demo")
        .start()
        .await?;
    the_printed_requests_work(&shop).await
}

#[tokio::test]
async fn seeding_again_changes_nothing() -> Result<()> {
    let settings = embedded();
    let seed = [
        "seed",
        "--users",
        "3",
        "--products",
        "2",
        "--coupons",
        "1",
        "--balance",
        "500",
    ];
    for _ in 0..2 {
        settings.run(&seed).await?.expect_success();
    }
    let shop = settings
        .clone()
        .env("MADANG_AUTH__MODE", "off")
        .start()
        .await?;
    let client = shop.client();
    let balance = client.get("/api/users/balance?userId=3").await?.expect(200);
    assert_eq!(balance.json["balance"], 500);
    let ledger = client
        .get("/api/users/balance/history?userId=3")
        .await?
        .expect(200);
    assert_eq!(ledger.json["items"].as_array().map(Vec::len), Some(1));
    let products = client.get("/api/products").await?.expect(200);
    assert_eq!(products.json["items"].as_array().map(Vec::len), Some(2));
    settings.run(&["audit"]).await?.expect_success();
    Ok(())
}
