//! Row "data platform slow, 500, 429, hanging, refusing": orders keep their pace, and once it is well everything is delivered.
//! The platform is played behind a proxy, which refuses and swallows for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::{Faults, Proxy, eventually};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::ground;
use crate::load::{Load, Plan};
use crate::on_both;
use crate::settle::{Places, check};
use crate::whole::stage::{PATIENCE, Stage};

on_both!(orders_do_not_wait_for_the_data_platform);

/// Answers with the status of the moment.
#[derive(Clone)]
struct Mood {
    status: Arc<AtomicU32>,
    delay_ms: Arc<AtomicU32>,
}

impl Mood {
    fn set(&self, status: u32, delay_ms: u32) {
        self.status.store(status, Ordering::Relaxed);
        self.delay_ms.store(delay_ms, Ordering::Relaxed);
    }
}

impl Respond for Mood {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let status = u16::try_from(self.status.load(Ordering::Relaxed)).expect("a status");
        let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed).into());
        let answer = ResponseTemplate::new(status).set_delay(delay);
        match status {
            429 => answer.insert_header("retry-after", "1"),
            _ => answer,
        }
    }
}

/// Row: data platform slow, 500, 429, hanging, refusing. About 20 s on each.
async fn orders_do_not_wait_for_the_data_platform(stage: Stage) {
    let platform = MockServer::start().await;
    let mood = Mood {
        status: Arc::new(AtomicU32::new(200)),
        delay_ms: Arc::new(AtomicU32::new(0)),
    };
    let any = Mock::given(wiremock::matchers::any());
    any.respond_with(mood.clone()).mount(&platform).await;
    let proxy = Proxy::start(platform.address().to_string())
        .await
        .expect("a proxy");
    let stage = ground::attentive(stage)
        .env(
            "MADANG_DATA_PLATFORM__URL",
            format!("http://{}", proxy.address()),
        )
        .env("MADANG_DATA_PLATFORM__REQUEST_TIMEOUT_MS", "1000")
        .env("MADANG_DATA_PLATFORM__BREAKER_OPEN_MS", "1000")
        .env("MADANG_DATA_PLATFORM__BREAKER_OPEN_MAX_MS", "2000")
        // So many tries that nothing is given up before the platform is well again.
        .env("MADANG_CONSUMERS__DATA_PLATFORM__RETRY_FACTOR", "3")
        .env("MADANG_CONSUMERS__DATA_PLATFORM__ATTEMPTS_MAX", "6");
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(20).await;
    let begun = Instant::now();
    load.more_orders(80).await;
    let faults = Instant::now();
    mood.set(200, 300);
    load.more_orders(30).await;
    mood.set(500, 0);
    load.more_orders(30).await;
    mood.set(429, 0);
    load.more_orders(30).await;
    mood.set(200, 0);
    proxy.set(Faults {
        blackhole: true,
        ..Faults::default()
    });
    load.more_orders(30).await;
    proxy.cut();
    load.more_orders(30).await;
    let healed = Instant::now();
    proxy.heal();
    let journal = load.stop().await;

    let (well, ill) = (
        journal.order_times(begun, faults),
        journal.order_times(faults, healed),
    );
    let (well, ill) = (well[well.len() / 2], ill[ill.len() / 2]);
    println!("an order took {well:?} while the platform was well, {ill:?} while it was not");
    // A factor and a constant for a machine that does other things too: an order that waited for the platform would take a second.
    assert!(
        ill <= well * 3 + Duration::from_millis(100),
        "{ill:?}, else {well:?}"
    );
    assert_eq!(journal.orders_put_off(faults, healed), 0);
    check(&stage, &client, journal, Places::Kept).await;
    everything_was_received(&stage, &platform).await;
}

/// Every event on the platform's topic was received at least once.
async fn everything_was_received(stage: &Stage, platform: &MockServer) {
    let topic = stage.topic("data-platform-transfer-topic");
    let sent = crate::delivery::records(stage, &topic).await;
    let header = |it: &serde_json::Value| {
        let headers = it["headers"].as_array()?.iter();
        let id = headers.into_iter().find(|h| h["name"] == "ce_id")?;
        Some(id["value"].as_str()?.to_owned())
    };
    let sent: BTreeSet<String> = sent.iter().filter_map(header).collect();
    assert!(!sent.is_empty());
    eventually(PATIENCE, "everything is received", async || {
        let received = platform.received_requests().await.unwrap_or_default();
        let ids = received
            .iter()
            .filter_map(|it| it.headers.get("webhook-id"));
        let ids: BTreeSet<String> = ids
            .filter_map(|id| Some(id.to_str().ok()?.to_owned()))
            .collect();
        let missing = sent.difference(&ids).count();
        ensure!(missing == 0, "{missing} of {} missing", sent.len());
        Ok(())
    })
    .await;
}
