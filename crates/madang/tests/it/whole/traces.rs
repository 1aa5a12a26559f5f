//! What a collector of traces is told: the request and what its events did later belong to the trace that the caller began.

use anyhow::ensure;
use serde_json::json;
use testkit::eventually;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::stage::{PATIENCE, Stage, one_line};
use crate::on_both;

on_both!(a_trace_goes_from_the_request_to_the_consumers);

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

async fn a_trace_goes_from_the_request_to_the_consumers(stage: Stage) {
    let collector = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/traces"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&collector)
        .await;
    let stage = stage
        .env("MADANG_TELEMETRY__OTLP_ENDPOINT", collector.uri())
        // Nothing is sampled but what the caller has decided.
        .env("MADANG_TELEMETRY__SAMPLE_RATIO", "0.0");
    let shop = stage.open(1, 1, 10).await;
    let client = shop.client();
    let sampled = format!("00-{TRACE:032x}-b7ad6b7169203331-01");
    client
        .post_with(
            "/api/orders",
            &[("traceparent", sampled.as_str())],
            &one_line(1, 1, 1),
        )
        .await
        .unwrap()
        .expect(201);
    let untraced = json!({"userId": 1, "amount": 1});
    client
        .post("/api/users/balance/charge", &untraced)
        .await
        .unwrap()
        .expect(200);
    for span in ["request", "consume"] {
        eventually(PATIENCE, "the span comes with its trace", async || {
            let told = collector.received_requests().await.unwrap_or_default();
            let bodies = told.iter().map(|request| request.body.as_slice());
            ensure!(
                bodies
                    .filter(|body| holds(body, &TRACE.to_be_bytes()))
                    .any(|body| holds(body, span.as_bytes())),
                "{} exports",
                told.len()
            );
            Ok(())
        })
        .await;
    }
}

fn holds(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|part| part == wanted)
}
