//! The service and its consumer over real boards and a real orders table: what records count for, what is repaired by itself,
//! and that boards and recount agree.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use commerce::answer::StoreError;
use commerce::clock::{Clock, from_us};
use commerce::ids::ProductId;
use commerce::ranking::consumer::RankingHandler;
use commerce::ranking::model::Window;
use commerce::ranking::ports::{Board, Card, Error, SalesHistory, Shelf};
use commerce::ranking::{Ports, Rankings, Settings};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use messaging::consumer::{Event, Handler, Outcome, Verdict};
use messaging::envelope::{Identity, Origin, SEQ};
use messaging::record::{Headers, Record, TimestampType};
use stores::sql::ranking::SqlSalesHistory;
use testkit::eventually;

use super::stage::{Stage, at, day, listed, on_boards, product, rebuild};

on_boards!(
    records_count_on_the_day_of_the_sale,
    what_cannot_be_read_is_dead,
    lost_boards_are_rebuilt_from_the_orders,
    lost_effects_are_read_again_and_gaps_are_passed,
    boards_equal_the_recount,
    a_rebuild_waits_for_anothers,
    reads_fall_back_and_heal,
    a_request_counts_its_own_events_once,
);

/// 2026-11-22 21:00 in Seoul.
const NOW_US: i64 = 1_795_348_800_000_000;
const HOUR_US: i64 = 3_600_000_000;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        from_us(NOW_US)
    }
}

/// Products 1 to 99 at 500 each.
struct EverythingAt500;

#[async_trait]
impl Shelf for EverythingAt500 {
    async fn cards(&self, products: &[ProductId]) -> Result<Vec<Card>, StoreError> {
        let there = products.iter().filter(|p| p.get() < 100);
        Ok(there
            .map(|product| Card {
                product: *product,
                name: format!("thing {product}"),
                price: 500,
                stock: 7,
            })
            .collect())
    }
}

fn service(stage: &Stage, board: Arc<dyn Board>) -> Arc<Rankings> {
    service_with(board, Arc::new(SqlSalesHistory::new(stage.db.clone())))
}

pub fn service_with(board: Arc<dyn Board>, history: Arc<dyn SalesHistory>) -> Arc<Rankings> {
    let ports = Ports {
        board,
        history,
        shelf: Arc::new(EverythingAt500),
        clock: Arc::new(Noon),
    };
    let settings = Settings {
        time_zone: TimeZone::get("Asia/Seoul").unwrap(),
        // Each read asks anew.
        cache_ms: 0,
        recount_cache_ms: 0,
        rebuild_page: 3,
        feed_batch_max: 2,
        ..Settings::default()
    };
    Arc::new(Rankings::new(ports, settings))
}

fn record(offset: i64, value: &str, headers: &[(&str, &str)]) -> Event {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.append(name.to_string(), value.to_string());
    }
    let record = Record {
        topic: "product-ranking-topic".into(),
        partition: 0,
        offset,
        timestamp_ms: NOW_US / 1_000,
        timestamp_type: TimestampType::CreateTime,
        key: None,
        value: Some(Bytes::from(value.to_owned())),
        headers: all,
    };
    let origin = Origin {
        topic: record.topic.clone(),
        partition: 0,
        offset,
    };
    Event {
        identity: Identity::of(&record, &origin),
        record,
        origin,
        attempt: 1,
    }
}

/// As this shop writes it: 100 a piece.
fn ours(offset: i64, seq: i64, id: i64, sold: i64, ordered_at: &str) -> Event {
    let value = format!(
        r#"{{"orderId":1,"productId":{id},"productName":"thing","quantity":{sold},"soldQuantity":{sold},"orderedAt":"{ordered_at}","eventOccurredAt":"{ordered_at}"}}"#
    );
    let headers = [
        (SEQ, seq.to_string()),
        ("madang-amount", (sold * 100).to_string()),
    ];
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    record(offset, &value, &headers)
}

async fn done(handler: &RankingHandler, batch: &[Event]) {
    let all = vec![Outcome::Done; batch.len()];
    assert_eq!(handler.handle(batch).await, Verdict::Each(all));
}

async fn records_count_on_the_day_of_the_sale(stage: &Stage) {
    let board = stage.board();
    let handler = RankingHandler::new(service(stage, board.clone()));
    let batch = [
        // 15:00 UTC is midnight in Seoul.
        ours(0, 1, 1, 2, "2026-11-21 14:59:59"),
        ours(1, 2, 1, 3, "2026-11-21 15:00:00"),
        ours(2, 3, 1, -2, "2026-11-21 14:59:59"),
        // A JVM producer's: decimals, array times, no headers, no orderedAt, a quantity only.
        record(
            3,
            r#"{"orderId":null,"productId":2.0,"quantity":4.00,"soldQuantity":null,"orderedAt":[2026,11,22,1,0]}"#,
            &[],
        ),
        record(
            4,
            r#"{"productId":2,"soldQuantity":1,"quantity":9,"eventOccurredAt":"2026-11-22T01:00:00"}"#,
            &[],
        ),
        record(5, r#"{"productId":500,"quantity":1}"#, &[]),
        // Long past: no board is left to count on.
        ours(6, 4, 1, 50, "2025-01-01 00:00:00"),
    ];
    done(&handler, &batch).await;
    done(&handler, &batch[2..]).await;
    let today = listed(&*board, &[day(22)]).await;
    assert_eq!(today, [(2, 5, 2_500), (1, 3, 300), (500, 1, 0)]);
    assert_eq!(listed(&*board, &[day(21)]).await, []);
}

async fn what_cannot_be_read_is_dead(stage: &Stage) {
    let board = stage.board();
    let handler = RankingHandler::new(service(stage, board.clone()));
    let good = r#"{"productId":1,"quantity":1}"#;
    let batch = [
        record(0, good, &[]),
        record(1, "not json", &[]),
        record(2, r#"{"productId":0,"quantity":1}"#, &[]),
        record(3, r#"{"productId":1}"#, &[]),
        record(4, r#"{"productId":1,"quantity":1.5}"#, &[]),
        record(5, r#"{"productId":1,"quantity":2000000000}"#, &[]),
        record(6, good, &[("madang-amount", "much")]),
        record(
            7,
            r#"{"productId":1,"quantity":1,"orderedAt":"2026-12-01 00:00:00"}"#,
            &[],
        ),
        record(8, good, &[]),
    ];
    let Verdict::Each(outcomes) = handler.handle(&batch).await else {
        panic!("no outcomes");
    };
    let kinds: Vec<&str> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Dead(failure) => failure.kind.as_str(),
            _ => "done",
        })
        .collect();
    let mut expected = ["MalformedValue"; 9];
    (expected[0], expected[7], expected[8]) = ("done", "TimeInFuture", "done");
    assert_eq!(kinds, expected);
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 2, 1_000)]);
}

/// Ten orders of today, three of them cancelled; numbers 1 to 20, cancels 21 to 40.
pub async fn ten_orders(stage: &Stage) {
    for n in 0..10_i64 {
        let at_us = NOW_US - n * 2 * HOUR_US;
        let cancel = (n % 4 == 0).then_some(21 + 2 * n);
        let lines = [(1 + n % 3, 1 + n), (9, 2)];
        stage.order(n + 1, at_us, &lines, 1 + 2 * n, cancel).await;
    }
}

async fn lost_boards_are_rebuilt_from_the_orders(stage: &Stage) {
    let board = stage.board();
    let handler = RankingHandler::new(service(stage, board.clone()));
    ten_orders(stage).await;
    // Read before the loss, or written by an event long committed: either way it counts once.
    done(&handler, &[ours(0, 1, 1, 1, "2026-11-22 12:00:00")]).await;
    let before = listed(&*board, &[day(22)]).await;
    assert!(before.len() > 2, "{before:?}");
    stage.wipe().await;
    done(&handler, &[ours(1, 3, 2, 2, "2026-11-22 10:00:00")]).await;
    assert_eq!(listed(&*board, &[day(22)]).await, before);
    done(&handler, &[ours(2, 99, 2, 100, "2026-11-22 10:00:00")]).await;
    assert_eq!(
        listed(&*board, &[day(22)]).await[0].1,
        100 + before.iter().find(|r| r.0 == 2).unwrap().1
    );
}

async fn lost_effects_are_read_again_and_gaps_are_passed(stage: &Stage) {
    let board = stage.board();
    let handler = RankingHandler::new(service(stage, board.clone()));
    done(&handler, &[ours(0, 1, 1, 1, "2026-11-22 10:00:00")]).await;
    board.place(&at(0, 0).partition, 1).await.unwrap();
    let late = [ours(7, 2, 1, 1, "2026-11-22 10:00:00")];
    assert_eq!(handler.handle(&late).await, Verdict::Rewind { offset: 1 });
    // The log had nothing between 1 and 7: it delivers the same again.
    done(&handler, &late).await;
    let next = [ours(8, 3, 1, 1, "2026-11-22 10:00:00")];
    done(&handler, &next).await;
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 3, 300)]);
    board.place(&at(0, 0).partition, 8).await.unwrap();
    let later = [ours(9, 4, 1, 1, "2026-11-22 10:00:00")];
    assert_eq!(handler.handle(&later).await, Verdict::Rewind { offset: 8 });
    done(&handler, &next).await;
    done(&handler, &later).await;
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 4, 400)]);
}

async fn boards_equal_the_recount(stage: &Stage) {
    let board = stage.board();
    let rankings = service(stage, board.clone());
    ten_orders(stage).await;
    let rebuilt = rankings.rebuild_all().await.unwrap();
    assert_eq!((rebuilt.days, rebuilt.events), (37, 26));
    let history = SqlSalesHistory::new(stage.db.clone());
    for window in Window::ALL {
        let days = rankings.calendar().window(window, from_us(NOW_US));
        let span = rankings.calendar().span_of(days[0], days[days.len() - 1]);
        let recount = history.top(span, 100).await.unwrap();
        let rows: Vec<_> = recount
            .iter()
            .map(|s| (s.product.get(), s.score, s.amount))
            .collect();
        assert_eq!(listed(&*board, &days).await, rows, "{window:?}");
        for id in [1, 2, 3, 9, 50] {
            let place = history.rank(span, product(id)).await.unwrap();
            let read = board.rank(&days, product(id)).await.unwrap();
            assert_eq!(read, commerce::ranking::ports::Read::Found(place), "{id}");
        }
    }
    assert_eq!(rankings.known_days().await.unwrap().len(), 37);
    for day in rankings.known_days().await.unwrap() {
        let recount = rankings.recount(day).await.unwrap();
        let compared = rankings.compare(recount, 5).await.unwrap();
        assert_eq!(compared.different, 0, "{day}");
    }
}

async fn a_rebuild_waits_for_anothers(stage: &Stage) {
    let board = stage.board_with_lease(600);
    let rankings = service(stage, board.clone());
    // Of a rebuilder that has died since.
    board.open(day(22)).await.unwrap().unwrap();
    let refused = rankings.rebuild(day(22)).await;
    assert!(matches!(refused, Err(Error::Rebuilding(on)) if on == day(22)));
    assert_eq!(rankings.rebuild_in_turn(day(22)).await.unwrap(), 0);
    assert_eq!(rankings.known_days().await.unwrap(), [day(22)]);
}

async fn reads_fall_back_and_heal(stage: &Stage) {
    let board = stage.board();
    let rankings = service(stage, board.clone());
    ten_orders(stage).await;
    let recounted = rankings.popular(Window::ThreeDays, 5).await.unwrap();
    let place = rankings
        .ranking(product(9), Window::ThreeDays)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        recounted[place.rank.unwrap() as usize - 1].product_id,
        product(9)
    );
    let days = rankings
        .calendar()
        .window(Window::ThreeDays, from_us(NOW_US));
    eventually(
        Duration::from_secs(60),
        "the window's boards are there",
        async || {
            let known = board.known(&days).await?;
            anyhow::ensure!(known.len() == 3, "{known:?}");
            Ok(())
        },
    )
    .await;
    assert_eq!(
        rankings.popular(Window::ThreeDays, 5).await.unwrap(),
        recounted
    );
    // A product that is not in the catalogue is passed over, its rank stays its own.
    rebuild(
        &*board,
        day(22),
        &[vec![super::stage::counted(1, 500, 900)]],
    )
    .await;
    let sellers = rankings.popular(Window::Today, 5).await.unwrap();
    assert_eq!(sellers, []);
    assert_eq!(
        rankings.ranking(product(500), Window::Today).await.unwrap(),
        None
    );
}

async fn a_request_counts_its_own_events_once(stage: &Stage) {
    let board = stage.board();
    let rankings = service(stage, board.clone());
    let event = ours(0, 5, 1, 2, "2026-11-22 10:00:00").record;
    let row = messaging::outbox::Event {
        id: uuid::Uuid::now_v7(),
        shard: 0,
        topic: event.topic,
        key: "1".into(),
        kind: "product.sold".into(),
        payload: event.value.unwrap(),
        seq: Some(5),
        traceparent: None,
        headers: vec![("madang-amount".into(), "200".into())],
        created_us: NOW_US,
    };
    for _ in 0..2 {
        rankings.record(std::slice::from_ref(&row)).await.unwrap();
    }
    let handler = RankingHandler::new(rankings);
    done(&handler, &[ours(0, 5, 1, 2, "2026-11-22 10:00:00")]).await;
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 2, 200)]);
}
