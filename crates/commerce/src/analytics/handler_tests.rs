//! The consumer of order-completed-topic and the reports, over a store that a test plays.

use messaging::envelope::Origin;
use messaging::record::{Headers, Record, TimestampType};
use parking_lot::Mutex;

use super::*;
use crate::clock::SystemClock;
use crate::ids::ProductId;

/// Fails as told; keeps what was applied.
#[derive(Default)]
struct Played {
    error: Mutex<Option<StoreError>>,
    applied: Mutex<Vec<Sale>>,
}

#[async_trait]
impl Store for Played {
    async fn apply(&self, sales: &[Sale], _: i64) -> Result<usize, StoreError> {
        if let Some(error) = self.error.lock().clone() {
            return Err(error);
        }
        self.applied.lock().extend_from_slice(sales);
        Ok(sales.len())
    }

    async fn by_hour(&self, _: Span) -> Result<Vec<(i64, Amounts)>, StoreError> {
        Ok(Vec::new())
    }

    async fn by_product(
        &self,
        _: Span,
        limit: u32,
    ) -> Result<Vec<(ProductId, Amounts)>, StoreError> {
        let product = |number: u32| (i64::from(number).try_into().unwrap(), Amounts::default());
        Ok((1..=3).map(product).take(limit as usize).collect())
    }
}

fn scene() -> (Arc<Played>, SalesHandler) {
    let store = Arc::new(Played::default());
    let sales = Sales::new(store.clone(), Arc::new(SystemClock), Settings::default());
    (store, SalesHandler(Arc::new(sales)))
}

fn event(offset: i64, value: &str) -> Event {
    let record = Record {
        topic: "order-completed-topic".into(),
        partition: 1,
        offset,
        timestamp_ms: 1_795_356_000_000,
        timestamp_type: TimestampType::CreateTime,
        key: None,
        value: Some(Bytes::from(value.to_owned())),
        headers: Headers::new(),
    };
    let origin = Origin {
        topic: record.topic.clone(),
        partition: 1,
        offset,
    };
    Event {
        identity: Identity::of(&record, &origin),
        record,
        origin,
        attempt: 1,
    }
}

const GOOD: &str = r#"{"orderId":1,"orderItems":[{"productId":7,"quantity":1,"totalPrice":5}]}"#;

#[tokio::test]
async fn poison_is_dead_and_its_neighbours_count() {
    let (store, handler) = scene();
    let batch = [event(0, GOOD), event(1, "\u{0}nonsense"), event(2, GOOD)];
    let Verdict::Each(outcomes) = handler.handle(&batch).await else {
        panic!("not each");
    };
    assert_eq!(
        (&outcomes[0], &outcomes[2]),
        (&Outcome::Done, &Outcome::Done)
    );
    let Outcome::Dead(failure) = &outcomes[1] else {
        panic!("{:?}", outcomes[1]);
    };
    assert_eq!(failure.kind, "MalformedValue");
    let applied = store.applied.lock();
    assert_eq!(applied.len(), 2);
    // Told apart by where they lie, and counted at the time they were written.
    assert_ne!(applied[0].identity, applied[1].identity);
    assert_eq!(applied[0].hour_us, 1_795_356_000_000_000);
}

#[tokio::test]
async fn a_batch_of_poison_alone_asks_no_store() {
    let (store, handler) = scene();
    *store.error.lock() = Some(StoreError::Unavailable("away".into()));
    let verdict = handler.handle(&[event(0, "{}")]).await;
    assert!(matches!(verdict, Verdict::Each(_)));
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for_and_a_defect_is_searched_for() {
    let (store, handler) = scene();
    let mut verdicts = Vec::new();
    for error in [
        StoreError::Unavailable("away".into()),
        StoreError::OutcomeUnknown("cut".into()),
        StoreError::Failed("out of range".into()),
    ] {
        *store.error.lock() = Some(error);
        verdicts.push(handler.handle(&[event(0, GOOD), event(1, "{}")]).await);
    }
    let kinds: Vec<_> = verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::RetryAll(failure) => ("again", failure.kind.as_str()),
            Verdict::Suspect(failure) => ("suspect", failure.kind.as_str()),
            _ => ("other", ""),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("again", "DatabaseUnavailable"),
            ("again", "DatabaseUnavailable"),
            ("suspect", "StoreFailed")
        ]
    );
}

#[tokio::test]
async fn a_report_says_that_it_was_cut() {
    for (products_max, named, truncated) in [(2, 2, true), (3, 3, false)] {
        let settings = Settings {
            limits: Limits {
                products_max,
                ..Limits::default()
            },
            ..Settings::default()
        };
        let sales = Sales::new(Arc::new(Played::default()), Arc::new(SystemClock), settings);
        let question = sales.question(&ReportQuery::default()).unwrap();
        let report = sales.report(question).await.unwrap();
        assert_eq!((report.items.len(), report.truncated), (named, truncated));
    }
}
