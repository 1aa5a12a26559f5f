//! The data platform's consumer with a sink and receipts that a test plays.

use std::collections::BTreeSet;

use messaging::envelope::{Envelope, Origin};
use messaging::record::{Headers, Record, TimestampType};
use parking_lot::Mutex;

use super::*;
use crate::clock::SystemClock;

/// Says for each id what it was told to say, else Received; keeps what came.
#[derive(Default)]
struct Played {
    answers: Mutex<std::collections::HashMap<String, Delivered>>,
    came: Mutex<Vec<String>>,
}

#[async_trait]
impl Sink for Played {
    fn batch_max(&self) -> usize {
        4
    }

    async fn deliver(&self, batch: &[Delivery]) -> Vec<Delivered> {
        let answers = self.answers.lock();
        self.came
            .lock()
            .extend(batch.iter().map(|delivery| delivery.id.clone()));
        batch
            .iter()
            .map(|delivery| {
                let answer = answers.get(&delivery.id).or_else(|| answers.get("*"));
                answer.cloned().unwrap_or(Delivered::Received)
            })
            .collect()
    }
}

#[derive(Default)]
struct Noted {
    identities: Mutex<BTreeSet<Identity>>,
    away: Mutex<bool>,
}

impl Noted {
    fn there(&self) -> Result<(), StoreError> {
        if *self.away.lock() {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Receipts for Noted {
    async fn seen(&self, identities: &[Identity]) -> Result<Vec<bool>, StoreError> {
        self.there()?;
        let noted = self.identities.lock();
        Ok(identities.iter().map(|i| noted.contains(i)).collect())
    }

    async fn note(&self, identities: &[Identity], _: i64) -> Result<(), StoreError> {
        self.there()?;
        self.identities.lock().extend(identities.iter().cloned());
        Ok(())
    }
}

struct Scene {
    sink: Arc<Played>,
    receipts: Arc<Noted>,
    platform: Arc<DataPlatform>,
    handler: DataPlatformHandler,
}

fn scene(failures_max: u32) -> Scene {
    let (sink, receipts) = (Arc::new(Played::default()), Arc::new(Noted::default()));
    let breaker = breaker::Settings {
        failures_max,
        // Longer than any test.
        open_ms: 3_600_000,
        open_max_ms: 3_600_000,
    };
    let platform = Arc::new(DataPlatform::new(sink.clone(), breaker));
    let clock = Arc::new(SystemClock);
    let handler = DataPlatformHandler::new(platform.clone(), receipts.clone(), clock);
    Scene {
        sink,
        receipts,
        platform,
        handler,
    }
}

impl Scene {
    fn answer(&self, id: &str, answer: Delivered) {
        self.sink.answers.lock().insert(id.to_owned(), answer);
    }

    fn came(&self) -> Vec<String> {
        std::mem::take(&mut *self.sink.came.lock())
    }

    async fn each(&self, batch: &[Event]) -> Vec<Outcome> {
        match self.handler.handle(batch).await {
            Verdict::Each(outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }
}

fn event(number: i64, value: Option<&str>, headers: Headers) -> Event {
    let record = Record {
        topic: "data-platform-transfer-topic".into(),
        partition: 0,
        offset: number,
        timestamp_ms: 0,
        timestamp_type: TimestampType::CreateTime,
        key: None,
        value: value.map(|v| Bytes::from(v.to_owned())),
        headers,
    };
    let origin = Origin {
        topic: record.topic.clone(),
        partition: 0,
        offset: number,
    };
    Event {
        identity: Identity::of(&record, &origin),
        record,
        origin,
        attempt: 1,
    }
}

fn ours(number: i64) -> Event {
    let mut headers = Headers::new();
    headers.append("madang-seq", number.to_string());
    event(number, Some(&format!("{{\"orderId\":{number}}}")), headers)
}

fn retry(after_ms: Option<u64>) -> Delivered {
    Delivered::Retry {
        cause: "answered 503".into(),
        after_ms,
    }
}

#[tokio::test]
async fn each_result_has_its_outcome_and_receipts_are_kept() {
    let scene = scene(20);
    scene.answer("data-platform-2", retry(Some(700)));
    let cause = "answered 400".to_owned();
    scene.answer("data-platform-3", Delivered::Refused { cause });
    let batch: Vec<Event> = [1, 2, 3, 4, 5, 1].map(ours).into();
    let outcomes = scene.each(&batch).await;
    let expected = vec![
        Outcome::Done,
        Outcome::Retry {
            failure: Failure::new("DeliveryFailed", "answered 503"),
            after_ms: Some(700),
        },
        Outcome::Dead(Failure::new("DeliveryRefused", "answered 400")),
        Outcome::Done,
        Outcome::Done,
        Outcome::Done,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(scene.came().len(), 5);
    // Delivered again: only what was not received goes out.
    scene.each(&batch).await;
    assert_eq!(scene.came(), ["data-platform-2", "data-platform-3"]);
}

#[tokio::test]
async fn what_the_platform_cannot_read_is_dead_and_its_neighbours_go_on() {
    let scene = scene(20);
    let values = [
        None,
        Some(""),
        Some("[1]"),
        Some("{\"orderId\":1"),
        Some("{\"orderId\":\"1\"}"),
        Some("{\"id\":1}"),
        Some("{\"orderId\":1.5}"),
        Some("{\"orderId\":1.0,\"new\":[[]]}"),
    ];
    let batch: Vec<Event> = values
        .iter()
        .enumerate()
        .map(|(offset, value)| event(offset as i64, *value, Headers::new()))
        .collect();
    let outcomes = scene.each(&batch).await;
    for outcome in &outcomes[..7] {
        let Outcome::Dead(failure) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(failure.kind, "MalformedValue");
    }
    assert_eq!(outcomes[7], Outcome::Done);
    // Known by where it lies, for want of anything better.
    assert_eq!(scene.came(), ["data-platform-transfer-topic-0@7"]);
}

#[tokio::test]
async fn the_id_is_the_events_own() {
    let scene = scene(20);
    let envelope = Envelope {
        id: uuid::Uuid::from_u128(7),
        kind: "order.completed".into(),
        type_id: "x".into(),
        source: "/madang".into(),
        time: jiff::Timestamp::UNIX_EPOCH,
        seq: Some(7),
        traceparent: None,
    };
    let mut odd = Headers::new();
    odd.append("ce_id", "line\nend");
    let value = Some("{\"orderId\":1}");
    scene
        .each(&[event(1, value, envelope.headers()), event(2, value, odd)])
        .await;
    let came = scene.came();
    assert_eq!(came[0], "00000000-0000-0000-0000-000000000007");
    assert_eq!(came[1].len(), 64);
}

#[tokio::test]
async fn a_platform_that_is_down_uses_up_no_tries() {
    let scene = scene(3);
    scene.answer("*", retry(None));
    scene.answer("data-platform-1", Delivered::Received);
    let batch: Vec<Event> = (1..=50).map(ours).collect();
    let Verdict::RetryAll(failure) = scene.handler.handle(&batch).await else {
        panic!("not the whole batch");
    };
    assert_eq!(failure.kind, "CircuitOpen");
    // One piece went out, and what was received of it is noted.
    assert_eq!(scene.came().len(), 4);
    assert_eq!(scene.receipts.identities.lock().len(), 1);
    // While it is left alone nothing goes out.
    let again = scene.handler.handle(&batch).await;
    assert!(matches!(again, Verdict::RetryAll(_)));
    assert!(scene.came().is_empty());
    let inline = scene
        .platform
        .deliver_inline("a", Bytes::from_static(b"{\"orderId\":1}"));
    assert!(matches!(inline.await, Err(DeliverError::Unavailable(_))));
}

#[tokio::test]
async fn without_receipts_the_batch_waits() {
    let scene = scene(20);
    *scene.receipts.away.lock() = true;
    let Verdict::RetryAll(failure) = scene.handler.handle(&[ours(1)]).await else {
        panic!("not the whole batch");
    };
    assert_eq!(failure.kind, "ReceiptsUnavailable");
    assert!(scene.came().is_empty());
}

#[tokio::test]
async fn inline_deliveries_say_how_they_fared() {
    let scene = scene(20);
    let value = Bytes::from_static(b"{\"orderId\":1}");
    let deliver = |id: &'static str, value: &Bytes| {
        let (platform, value) = (scene.platform.clone(), value.clone());
        async move { platform.deliver_inline(id, value).await }
    };
    assert!(deliver("a", &value).await.is_ok());
    scene.answer("b", retry(None));
    let failed = deliver("b", &value).await;
    assert!(matches!(failed, Err(DeliverError::Unavailable(_))));
    let cause = "answered 400".to_owned();
    scene.answer("c", Delivered::Refused { cause });
    let refused = deliver("c", &value).await;
    assert!(matches!(refused, Err(DeliverError::Refused(_))));
    let malformed = deliver("d", &Bytes::from_static(b"[]")).await;
    assert!(matches!(malformed, Err(DeliverError::Refused(_))));
    assert_eq!(scene.came(), ["a", "b", "c"]);
}
