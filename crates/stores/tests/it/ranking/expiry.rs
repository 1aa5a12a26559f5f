//! Boards of days long past go by themselves: on Redis by its own clock, in a database when a later day is rebuilt.
//! The only tests here whose days are those of the real clock.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::stage::{Stage, at, counted, foreign, on_boards, own, rebuild};

on_boards!(days_past_the_retention_go);

const RETENTION_DAYS: i32 = 35;

fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

async fn days_past_the_retention_go(stage: &Stage) {
    let board = stage.board_that_keeps(RETENTION_DAYS);
    let today = today();
    // Two days of grace for zones and one for a midnight that passes meanwhile.
    let days = [38, RETENTION_DAYS, 1, 0].map(|back| today.checked_sub(back.days()).unwrap());
    for (day, seq) in days.iter().zip(1..) {
        rebuild(&*board, *day, &[vec![counted(seq, 1, 1)]]).await;
    }
    assert_eq!(board.known(&days).await.unwrap(), days[1..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_of_a_day_goes_with_it_on_redis() {
    let Some(stage) = Stage::redis().await else {
        return;
    };
    let board = stage.board_that_keeps(RETENTION_DAYS);
    let today = today();
    rebuild(&*board, today, &[vec![counted(1, 1, 1)]]).await;
    let batch = [
        own(100_000, today, 2, 3),
        own(2, today, 2, 3),
        foreign("a", today, 3, 1),
    ];
    board.apply(&batch, Some(&at(0, 3))).await.unwrap();
    let end = today.checked_add((RETENTION_DAYS + 2).days()).unwrap();
    let end = end.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second();
    let expiries = stage.expiries().await;
    assert!(expiries.len() > 8, "{expiries:?}");
    for (key, second) in expiries {
        if key.contains(&today.to_string()) {
            assert_eq!(second, end, "{key}");
        } else {
            // The partitions' offsets, which are to outlive every board.
            assert!(second > end, "{key} goes at {second}");
        }
    }
}
