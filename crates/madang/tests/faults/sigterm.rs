//! Row "SIGTERM under load": the process stops accepting, drains, commits, leaves its groups and ends with 0 within 10 s;
//! the next one is handed nothing again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::ground;
use crate::load::{Load, Plan};
use crate::on_both;
use crate::settle::{Places, check};
use crate::whole::stage::Stage;

on_both!(a_stop_under_load_is_clean);

const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Row: SIGTERM under load. About 15 s on each.
async fn a_stop_under_load_is_clean(stage: Stage) {
    let platform = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&platform)
        .await;
    let stage = stage.env("MADANG_DATA_PLATFORM__URL", platform.uri());
    let stage = ground::on_one_port(ground::attentive(stage));
    let mut shop = ground::open(&stage).await;
    let client = shop.client();
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(60).await;
    let asked = Instant::now();
    let code = shop.stop().await.expect("it ends");
    let took = asked.elapsed();
    assert_eq!(code, 0, "{}", shop.logs());
    assert!(took <= ENDS_WITHIN, "ended after {took:?}");
    let mut shop = stage.settings.start_unready().expect("it starts again");
    shop.ready(Duration::from_secs(60)).await.expect("ready");
    load.more_orders(20).await;
    let journal = load.stop().await;
    check(&stage, &client, journal, Places::Kept).await;

    let mut deliveries: BTreeMap<String, u32> = BTreeMap::new();
    for request in platform.received_requests().await.expect("recorded") {
        let id = request.headers.get("webhook-id").expect("an id");
        *deliveries
            .entry(id.to_str().expect("text").to_owned())
            .or_default() += 1;
    }
    let again: Vec<_> = deliveries.iter().filter(|(_, times)| **times > 1).collect();
    assert!(again.is_empty(), "delivered again: {again:?}");
    println!("ended within {took:?}, {} deliveries", deliveries.len());
}
