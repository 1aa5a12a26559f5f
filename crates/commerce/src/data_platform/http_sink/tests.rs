//! The HTTP sink against a server that a test plays.

use std::time::Instant;

use bytes::Bytes;
use wiremock::matchers::{body_string, header, header_exists, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/events"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

fn settings(url: &str) -> Settings {
    Settings {
        url: format!("{url}/events"),
        ..Settings::default()
    }
}

fn sink(settings: &Settings) -> HttpSink {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpSink::new(settings).unwrap()
}

fn event(number: u32) -> Delivery {
    Delivery {
        id: format!("e-{number}"),
        value: Bytes::from(format!("{{\"orderId\":{number}}}")),
    }
}

async fn one(server: &MockServer) -> Delivered {
    let mut delivered = sink(&settings(&server.uri())).deliver(&[event(1)]).await;
    assert_eq!(delivered.len(), 1);
    delivered.remove(0)
}

#[tokio::test]
async fn a_delivery_is_the_value_with_webhook_headers() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/events"))
        .and(header("content-type", "application/json"))
        .and(header("webhook-id", "e-1"))
        .and(header_exists("webhook-timestamp"))
        .and(body_string("{\"orderId\":1}"))
        .respond_with(ResponseTemplate::new(202))
        .expect(2)
        .mount(&server)
        .await;
    assert_eq!(one(&server).await, Delivered::Received);
    let signed = Settings {
        secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
        ..settings(&server.uri())
    };
    let delivered = sink(&signed).deliver(&[event(1)]).await;
    assert_eq!(delivered, [Delivered::Received]);
    let requests = server.received_requests().await.unwrap();
    assert!(requests[0].headers.get("webhook-signature").is_none());
    let said = |name| requests[1].headers[name].to_str().unwrap().to_owned();
    let seconds = said("webhook-timestamp").parse().unwrap();
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let expected = sign(&key, "e-1", seconds, b"{\"orderId\":1}").unwrap();
    assert_eq!(said("webhook-signature"), expected.to_str().unwrap());
}

/// The example of the Standard Webhooks specification.
#[test]
fn the_signature_is_the_standards() {
    let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = b"{\"test\": 2432232314}";
    let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn each_status_has_its_outcome() {
    for (status, name) in [
        (200, "received"),
        (204, "received"),
        (299, "received"),
        (301, "refused"),
        (308, "refused"),
        (400, "refused"),
        (404, "refused"),
        (408, "retry"),
        (409, "refused"),
        (410, "refused"),
        (425, "retry"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
        (599, "retry"),
    ] {
        let answer = ResponseTemplate::new(status)
            .insert_header("location", "/elsewhere")
            .set_body_string("because\nof this");
        let server = server(answer).await;
        let (seen, cause) = match one(&server).await {
            Delivered::Received => ("received", None),
            Delivered::Retry { cause, .. } => ("retry", Some(cause)),
            Delivered::Refused { cause } => ("refused", Some(cause)),
        };
        assert_eq!(seen, name, "{status}");
        if let Some(cause) = cause {
            assert!(cause.contains(&status.to_string()), "{cause}");
            assert!(cause.ends_with("becauseof this"), "{cause}");
        }
        // A redirect is not followed.
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn retry_after_is_heard_within_bounds() {
    for (said, heard_ms) in [
        ("7", Some(7_000)),
        ("0", Some(0)),
        ("99999999", Some(600_000)),
        ("18446744073709551615", Some(600_000)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("Sat, 06 Nov 2094 08:49:37 GMT", Some(600_000)),
        ("soon", None),
        ("-1", None),
    ] {
        let answer = ResponseTemplate::new(429).insert_header("retry-after", said);
        let Delivered::Retry { after_ms, .. } = one(&server(answer).await).await else {
            panic!("{said}");
        };
        assert_eq!(after_ms, heard_ms, "{said}");
    }
}

#[test]
fn retry_after_as_a_date_counts_from_now() {
    let now = "1994-11-06T08:49:07Z".parse().unwrap();
    let read = |text| retry_after_ms(text, now);
    assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30_000));
}

#[tokio::test]
async fn silence_is_tried_again() {
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    let server = server(slow).await;
    let short = Settings {
        request_timeout_ms: 50,
        ..settings(&server.uri())
    };
    let delivered = sink(&short).deliver(&[event(1)]).await;
    let cause = |text: &str| Delivered::Retry {
        cause: text.into(),
        after_ms: None,
    };
    assert_eq!(delivered, [cause("no answer in time")]);
    // A port that nobody listens at.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let nobody = settings(&format!("http://{address}"));
    let delivered = sink(&nobody).deliver(&[event(1)]).await;
    assert_eq!(delivered, [cause("could not connect")]);
}

#[tokio::test]
async fn a_batch_goes_out_side_by_side_and_comes_back_in_order() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(|request: &Request| {
            let number: u64 = request.headers["webhook-id"].to_str().unwrap()[2..]
                .parse()
                .unwrap();
            let status = if number.is_multiple_of(3) { 400 } else { 200 };
            ResponseTemplate::new(status).set_delay(Duration::from_millis(20 - number))
        })
        .mount(&server)
        .await;
    let batch: Vec<_> = (0..20).map(event).collect();
    let delivered = sink(&settings(&server.uri())).deliver(&batch).await;
    assert_eq!(delivered.len(), 20);
    for (number, delivered) in delivered.iter().enumerate() {
        let refused = matches!(delivered, Delivered::Refused { .. });
        assert_eq!(refused, number.is_multiple_of(3), "{number}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let huge = "x".repeat(8 * 1024 * 1024);
    let started = Instant::now();
    let answer = ResponseTemplate::new(422).set_body_string(huge);
    let Delivered::Refused { cause } = one(&server(answer).await).await else {
        panic!("after {:?}", started.elapsed());
    };
    assert!(cause.len() < 300, "{}", cause.len());
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let with = |url: &str, secret: Option<&str>| Settings {
        url: url.into(),
        secret: secret.map(str::to_owned),
        ..Settings::default()
    };
    for (settings, name) in [
        (with("", None), "data_platform.url"),
        (with("ftp://platform/", None), "data_platform.url"),
        (with("platform:80", None), "data_platform.url"),
        (
            with("http://platform", Some("whsec_!")),
            "data_platform.secret",
        ),
        (with("http://platform", Some("")), "data_platform.secret"),
    ] {
        let said = HttpSink::new(&settings).err().unwrap().to_string();
        assert!(said.starts_with(name), "{said}");
    }
}
