//! Rebuilds: one rebuilder at a time, a dead one is replaced, a shadow is held against the board without changing it.

use std::time::Duration;

use commerce::ranking::ports::{Applied, Error};
use testkit::eventually;

use super::stage::{Stage, counted, day, foreign, listed, on_boards, own, rebuild};

on_boards!(
    one_rebuilder_at_a_time,
    a_dead_rebuilder_is_replaced,
    entries_count_in_the_shadow_of_a_day_without_a_board,
    a_flip_forgets_what_the_recount_does_not_hold,
    a_comparison_names_differences_and_changes_nothing,
    thousands_of_products_are_compared_while_they_are_sold,
);

async fn one_rebuilder_at_a_time(stage: &Stage) {
    let (one, other) = (stage.board(), stage.board());
    let shadow = one.open(day(22)).await.unwrap().unwrap();
    assert_eq!(other.open(day(22)).await.unwrap(), None);
    assert!(other.open(day(21)).await.unwrap().is_some());
    one.flip(shadow.clone()).await.unwrap();
    let again = one.flip(shadow).await;
    assert!(matches!(again, Err(Error::Lost(_))), "{again:?}");
    assert!(other.open(day(22)).await.unwrap().is_some());
}

async fn a_dead_rebuilder_is_replaced(stage: &Stage) {
    let dying = stage.board_with_lease(1);
    let board = stage.board();
    rebuild(&*board, day(22), &[vec![counted(1, 1, 1)]]).await;
    let mut left = dying.open(day(22)).await.unwrap().unwrap();
    // Whether this page still arrives within the lease does not matter.
    let _ = dying.feed(&mut left, &[counted(1, 5, 5)]).await;
    let mut shadow = eventually(Duration::from_secs(60), "the lease runs out", async || {
        let shadow = board.open(day(22)).await?;
        shadow.ok_or_else(|| anyhow::anyhow!("still held"))
    })
    .await;
    board.apply(&[own(2, day(22), 2, 2)], None).await.unwrap();
    let lost = dying.feed(&mut left, &[counted(3, 5, 5)]).await;
    assert!(matches!(lost, Err(Error::Lost(_))), "{lost:?}");
    let lost = dying.flip(left).await;
    assert!(matches!(lost, Err(Error::Lost(_))), "{lost:?}");
    board.feed(&mut shadow, &[counted(1, 1, 1)]).await.unwrap();
    board.flip(shadow).await.unwrap();
    let expected = [(2, 2, 200), (1, 1, 100)];
    assert_eq!(listed(&*board, &[day(22)]).await, expected);
}

async fn entries_count_in_the_shadow_of_a_day_without_a_board(stage: &Stage) {
    let board = stage.board();
    let mut shadow = board.open(day(22)).await.unwrap().unwrap();
    let batch = [own(2, day(22), 1, 2)];
    assert_eq!(board.apply(&batch, None).await.unwrap(), Applied::Done);
    assert_eq!(board.known(&[day(22)]).await.unwrap(), []);
    let page = [counted(1, 1, 1), counted(2, 1, 2)];
    board.feed(&mut shadow, &page).await.unwrap();
    board.apply(&batch, None).await.unwrap();
    board.flip(shadow).await.unwrap();
    board.apply(&batch, None).await.unwrap();
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 3, 300)]);
}

async fn a_flip_forgets_what_the_recount_does_not_hold(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[]).await;
    board.apply(&[own(1, day(22), 1, 1)], None).await.unwrap();
    stage.tamper(day(22), 1, 5).await;
    rebuild(&*board, day(22), &[vec![counted(1, 1, 1)]]).await;
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 1, 100)]);
    let mut shadow = board.open(day(22)).await.unwrap().unwrap();
    let unnumbered = commerce::ranking::ports::Counted {
        seq: None,
        ..counted(0, 3, 4)
    };
    board
        .feed(&mut shadow, &[unnumbered, unnumbered])
        .await
        .unwrap();
    board.flip(shadow).await.unwrap();
    assert_eq!(listed(&*board, &[day(22)]).await, [(3, 8, 800)]);
    // The number's note went with the sheet that counted it.
    board.apply(&[own(1, day(22), 1, 1)], None).await.unwrap();
    assert_eq!(
        listed(&*board, &[day(22)]).await,
        [(3, 8, 800), (1, 1, 100)]
    );
}

async fn a_comparison_names_differences_and_changes_nothing(stage: &Stage) {
    let board = stage.board();
    let sales: Vec<_> = (1..=20).map(|n| counted(n, n, n)).collect();
    rebuild(&*board, day(22), std::slice::from_ref(&sales)).await;
    let before = listed(&*board, &[day(22)]).await;
    let mut shadow = board.open(day(22)).await.unwrap().unwrap();
    board.feed(&mut shadow, &sales).await.unwrap();
    let clean = board.compare(shadow, 10).await.unwrap();
    assert_eq!((clean.different, clean.products), (0, 20));
    assert_eq!(clean.differences, []);
    assert_eq!(listed(&*board, &[day(22)]).await, before);

    let mut shadow = board.open(day(22)).await.unwrap().unwrap();
    board.feed(&mut shadow, &sales[..3]).await.unwrap();
    board.discard(shadow).await.unwrap();
    assert_eq!(listed(&*board, &[day(22)]).await, before);

    stage.tamper(day(22), 11, 3).await;
    let mut shadow = board.open(day(22)).await.unwrap().unwrap();
    board.feed(&mut shadow, &sales[..18]).await.unwrap();
    let comparison = board.compare(shadow, 2).await.unwrap();
    assert_eq!((comparison.different, comparison.products), (3, 20));
    let named = comparison.differences.iter();
    let named: Vec<_> = named
        .map(|d| {
            (
                d.product.as_str(),
                d.expected_score,
                d.found_score,
                d.expected_amount,
                d.found_amount,
            )
        })
        .collect();
    assert_eq!(
        named,
        [("11", 11, 14, 1_100, 1_100), ("19", 0, 19, 0, 1_900)]
    );
}

async fn thousands_of_products_are_compared_while_they_are_sold(stage: &Stage) {
    let board = stage.board();
    let sales: Vec<_> = (1..=3_000).map(|n| counted(n, n, 1)).collect();
    let pages: Vec<_> = sales.chunks(500).map(<[_]>::to_vec).collect();
    rebuild(&*board, day(22), &pages).await;
    let recounted = async || {
        let mut shadow = board.open(day(22)).await.unwrap().unwrap();
        for page in &pages {
            board.feed(&mut shadow, page).await.unwrap();
        }
        shadow
    };
    let sold = async |from: i64| {
        for n in from..from + 40 {
            let id = n * 71 % 3_000 + 1;
            let batch = [
                own(10_000 + n, day(22), id, 2),
                foreign(&format!("late {n}"), day(22), id + 1, 1),
            ];
            board.apply(&batch, None).await.unwrap();
        }
    };
    let shadow = recounted().await;
    sold(0).await;
    let (busy, ()) = tokio::join!(board.compare(shadow, 10), sold(40));
    let busy = busy.unwrap();
    assert_eq!((busy.different, busy.differences), (0, vec![]));
    assert!((3_000..3_100).contains(&busy.products), "{}", busy.products);
    assert!((40..=80).contains(&busy.foreign), "{}", busy.foreign);

    // What was sold since the first recount is in no later one.
    let found = board.compare(recounted().await, 2).await.unwrap();
    assert_eq!(
        (found.different, found.products, found.foreign),
        (80, 3_000, 80)
    );
    let named = found
        .differences
        .iter()
        .map(|d| d.found_score - d.expected_score);
    assert_eq!(named.collect::<Vec<_>>(), [2, 2]);
}
