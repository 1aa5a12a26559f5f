//! Campaigns and the first-come queue as shoppers and operators meet them.

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::{Client, eventually};

use super::stage::{PATIENCE, Stage, coupon_result, join};
use crate::on_both;

on_both!(
    joiners_get_places_and_results,
    campaigns_can_be_paused_changed_and_closed,
    a_window_that_ends_before_it_begins_is_refused,
    direct_issue_answers_at_once,
);

async fn campaign(client: &Client, quota: u32, from_hours: i64, to_hours: i64) -> u64 {
    let at = |hours| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let body = json!({"name": "first come", "discountAmount": 500, "totalQuantity": quota,
        "validFrom": at(from_hours), "validTo": at(to_hours), "expiresAt": at(to_hours + 24)});
    let created = client
        .post("/api/coupons", &body)
        .await
        .unwrap()
        .expect(201);
    created.json["id"].as_u64().expect("an id")
}

async fn joiners_get_places_and_results(stage: Stage) {
    let shop = stage.open(10, 1, 1).await;
    let client = shop.client();
    let coupon = campaign(&client, 2, -1, 1).await;
    let listed = client.get("/api/coupons").await.unwrap().expect(200);
    assert_eq!(listed.json["items"][0]["id"], coupon, "{}", listed.text);
    for user in 1..=2_u64 {
        let joined = join(&client, coupon, user).await.expect(202);
        assert_eq!(joined.json["status"], "QUEUED");
        assert_eq!(joined.json["queuePosition"], user);
        assert!(joined.json["message"].is_string());
        assert!(
            joined.json["statusUrl"]
                .as_str()
                .is_some_and(|u| u.contains("/issue/status"))
        );
    }
    let late = join(&client, coupon, 3).await.expect(409);
    assert_eq!(late.json["code"], "coupon-sold-out");
    for user in 1..=2 {
        let result = eventually(PATIENCE, "the result", async || {
            coupon_result(&client, coupon, user).await
        })
        .await;
        assert_eq!(result["status"], "SUCCESS");
        let again = join(&client, coupon, user).await.expect(409);
        assert_eq!(again.json["code"], "coupon-already-issued");
    }
    let held = client
        .get("/api/users/coupons?userId=1")
        .await
        .unwrap()
        .expect(200);
    assert_eq!(held.json.as_array().map(Vec::len), Some(1));
    let first = &held.json[0];
    assert_eq!(first["couponId"], coupon);
    assert_eq!(first["couponName"], "first come");
    assert_eq!(first["discountAmount"], 500);
    assert_eq!(first["status"], "AVAILABLE");
    assert_eq!(first["usedAt"], Value::Null);
    let path = format!("/api/coupons/{coupon}/issue/status?userId=9");
    client.get(&path).await.unwrap().expect(404);
    join(&client, 999, 1).await.expect(404);
    assert_eq!(last_event(&client, coupon, 2).await["status"], "SUCCESS");
    stage.audit().await;
}

/// Reads the event stream to its end and gives its last data.
async fn last_event(client: &Client, coupon: u64, user: u64) -> Value {
    let path = format!("/api/coupons/{coupon}/issue/stream?userId={user}");
    let request = client
        .request(reqwest::Method::GET, &path, &[], None)
        .unwrap();
    let mut response = request.send().await.expect("a stream");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await.expect("a chunk") {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let data = text
        .lines()
        .filter_map(|l| l.strip_prefix("data:"))
        .next_back();
    serde_json::from_str(data.unwrap_or_else(|| panic!("data in {text:?}"))).expect("JSON")
}

async fn campaigns_can_be_paused_changed_and_closed(stage: Stage) {
    let shop = stage.open(10, 1, 1).await;
    let client = shop.client();
    let early = campaign(&client, 5, 1, 2).await;
    assert_eq!(
        join(&client, early, 1).await.expect(409).json["code"],
        "coupon-not-open"
    );
    let ended = campaign(&client, 5, -2, -1).await;
    assert_eq!(
        join(&client, ended, 1).await.expect(409).json["code"],
        "coupon-ended"
    );

    let coupon = campaign(&client, 1, -1, 1).await;
    let act = async |what: &str| {
        let path = format!("/api/coupons/{coupon}/{what}");
        client.post(&path, &json!({})).await.unwrap().expect(200);
    };
    act("pause").await;
    eventually(PATIENCE, "joins are refused", async || {
        let answer = join(&client, coupon, 1).await;
        ensure!(answer.json["code"] == "coupon-paused", "{}", answer.text);
        Ok(())
    })
    .await;
    act("resume").await;
    eventually(PATIENCE, "joins are taken", async || {
        let answer = join(&client, coupon, 1).await;
        ensure!(answer.status == 202, "{}", answer.text);
        Ok(())
    })
    .await;
    join(&client, coupon, 2).await.expect(409);
    let path = format!("/api/coupons/{coupon}");
    let more = client
        .patch(&path, &json!({"totalQuantity": 2}))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(more.json["totalQuantity"], 2);
    eventually(PATIENCE, "one more is taken", async || {
        let answer = join(&client, coupon, 2).await;
        ensure!(answer.status == 202, "{}", answer.text);
        Ok(())
    })
    .await;
    for user in 1..=2 {
        eventually(PATIENCE, "the result", async || {
            let result = coupon_result(&client, coupon, user).await?;
            ensure!(result["status"] == "SUCCESS", "{result}");
            Ok(())
        })
        .await;
    }
    act("close").await;
    eventually(PATIENCE, "joins are refused", async || {
        let answer = join(&client, coupon, 3).await;
        ensure!(answer.json["code"] == "coupon-closed", "{}", answer.text);
        Ok(())
    })
    .await;
    stage.audit().await;
}

async fn a_window_that_ends_before_it_begins_is_refused(stage: Stage) {
    let shop = stage.open(1, 1, 1).await;
    let client = shop.client();
    let backwards = json!({"name": "x", "discountAmount": 1, "totalQuantity": 1,
        "validFrom": "2026-02-01T00:00:00Z", "validTo": "2026-01-01T00:00:00Z", "expiresAt": "2026-03-01T00:00:00Z"});
    client
        .post("/api/coupons", &backwards)
        .await
        .unwrap()
        .expect(400);
}

async fn direct_issue_answers_at_once(stage: Stage) {
    let stage = stage.env("MADANG_COUPON__ISSUE", "direct");
    let shop = stage.open(10, 1, 1).await;
    let client = shop.client();
    let coupon = campaign(&client, 1, -1, 1).await;
    let first = join(&client, coupon, 1).await;
    assert!(first.status < 300, "{}", first.text);
    assert_eq!(first.json["status"], "SUCCESS");
    assert_eq!(
        join(&client, coupon, 2).await.expect(409).json["code"],
        "coupon-sold-out"
    );
    assert_eq!(
        join(&client, coupon, 1).await.expect(409).json["code"],
        "coupon-already-issued"
    );
    stage.audit().await;
}
