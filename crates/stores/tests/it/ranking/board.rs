//! Counting on boards: once an event, whatever arrives how often and in what order, and only where a board is.

use commerce::ranking::model::{AMOUNT_MAX, Entry, Place};
use commerce::ranking::ports::{Applied, Counted, Read};
use messaging::envelope::Identity;

use super::stage::{Stage, at, counted, day, foreign, listed, on_boards, own, product, rebuild};

on_boards!(
    an_event_alone_creates_no_board,
    each_event_counts_once,
    sums_of_a_large_batch_are_exact,
    a_cancel_may_come_before_its_sale,
    foreign_events_count_once_and_outlive_rebuilds,
    equal_scores_rank_by_product_id,
    windows_sum_days,
    a_board_that_went_back_says_where_to,
    an_unknown_partition_says_so,
    a_refused_batch_changes_nothing,
);

async fn an_event_alone_creates_no_board(stage: &Stage) {
    let board = stage.board();
    let missing = Applied::Missing(vec![day(21), day(22)]);
    let batch = [own(1, day(22), 1, 2), own(2, day(21), 1, 2)];
    assert_eq!(board.apply(&batch, None).await.unwrap(), missing);
    rebuild(&*board, day(21), &[]).await;
    let missing = Applied::Missing(vec![day(22)]);
    assert_eq!(board.apply(&batch, None).await.unwrap(), missing);
    assert_eq!(board.known(&[day(21), day(22)]).await.unwrap(), [day(21)]);
    assert_eq!(listed(&*board, &[day(21)]).await, []);
    let read = board.top(&[day(21), day(22)], 5).await.unwrap();
    assert_eq!(read, Read::Missing(vec![day(22)]));
    let read = board.rank(&[day(22)], product(1)).await.unwrap();
    assert_eq!(read, Read::Missing(vec![day(22)]));
}

async fn each_event_counts_once(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[vec![counted(1, 1, 2)]]).await;
    let batch = [
        own(1, day(22), 1, 2),
        own(65_535, day(22), 1, 3),
        own(65_536, day(22), 2, 1),
        own(65_535, day(22), 1, 3),
    ];
    for _ in 0..3 {
        assert_eq!(board.apply(&batch, None).await.unwrap(), Applied::Done);
    }
    let again = [own(65_536, day(22), 2, 1), own(7, day(22), 2, 1)];
    board.apply(&again, Some(&at(0, 2))).await.unwrap();
    let expected = [(1, 5, 500), (2, 2, 200)];
    assert_eq!(listed(&*board, &[day(22)]).await, expected);
}

/// More entries than a script adds up before it writes, and amounts of which only a few fit into 2^53.
async fn sums_of_a_large_batch_are_exact(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[]).await;
    let amount = AMOUNT_MAX / 4 - 1;
    let mut batch: Vec<Entry> = (1..=2_500).map(|seq| own(seq, day(22), 1, 1)).collect();
    for (entry, amount) in batch.iter_mut().zip([amount, amount, amount, -amount]) {
        entry.amount = amount;
    }
    board.apply(&batch, None).await.unwrap();
    let expected = [(1, 2_500, 2 * amount + 2_496 * 100)];
    assert_eq!(listed(&*board, &[day(22)]).await, expected);
    let page: Vec<Counted> = batch.iter().map(counted_as).collect();
    let mut shadow = board.open(day(22)).await.unwrap().unwrap();
    board.feed(&mut shadow, &page).await.unwrap();
    let compared = board.compare(shadow, 5).await.unwrap();
    assert_eq!((compared.products, compared.different), (1, 0));
}

fn counted_as(entry: &Entry) -> Counted {
    let Identity::Seq(seq) = entry.identity else {
        unreachable!("they are the shop's own");
    };
    Counted {
        amount: entry.amount,
        ..counted(seq, entry.product.get(), entry.quantity)
    }
}

async fn a_cancel_may_come_before_its_sale(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[]).await;
    let place = async || match board.rank(&[day(22)], product(1)).await.unwrap() {
        Read::Found(place) => place,
        Read::Missing(_) => panic!("no board"),
    };
    board.apply(&[own(2, day(22), 1, -3)], None).await.unwrap();
    assert_eq!(listed(&*board, &[day(22)]).await, []);
    assert_eq!(place().await, Place::NONE);
    let both = [own(1, day(22), 1, 3), own(3, day(22), 2, 1)];
    board.apply(&both, None).await.unwrap();
    assert_eq!(listed(&*board, &[day(22)]).await, [(2, 1, 100)]);
    assert_eq!(place().await, Place::NONE);
    board.apply(&[own(4, day(22), 1, 1)], None).await.unwrap();
    let expected = Place {
        rank: Some(1),
        score: 1,
    };
    assert_eq!(place().await, expected);
}

async fn foreign_events_count_once_and_outlive_rebuilds(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[vec![counted(1, 1, 1)]]).await;
    let batch = [
        foreign("a", day(22), 1, 2),
        foreign("a", day(22), 1, 2),
        foreign("product-ranking-topic-0@7", day(22), 9, 1),
    ];
    board.apply(&batch, None).await.unwrap();
    board.apply(&batch, None).await.unwrap();
    let expected = [(1, 3, 300), (9, 1, 100)];
    assert_eq!(listed(&*board, &[day(22)]).await, expected);
    rebuild(&*board, day(22), &[vec![counted(1, 1, 1)]]).await;
    board.apply(&batch, None).await.unwrap();
    assert_eq!(listed(&*board, &[day(22)]).await, expected);
    let mut shadow = board.open(day(22)).await.unwrap().unwrap();
    board.feed(&mut shadow, &[counted(1, 1, 1)]).await.unwrap();
    let late = [foreign("b", day(22), 9, 4)];
    board.apply(&late, None).await.unwrap();
    let comparison = board.compare(shadow, 10).await.unwrap();
    assert_eq!((comparison.different, comparison.foreign), (0, 7));
    let expected = [(9, 5, 500), (1, 3, 300)];
    assert_eq!(listed(&*board, &[day(22)]).await, expected);
}

async fn equal_scores_rank_by_product_id(stage: &Stage) {
    let board = stage.board();
    let ids = [5, 10, 9, 100, 1, 9_007_199_254_740_991, 2];
    let page = ids.iter().zip(1..).map(|(id, seq)| counted(seq, *id, 7));
    rebuild(&*board, day(22), &[page.collect()]).await;
    board.apply(&[own(50, day(22), 9, 1)], None).await.unwrap();
    let order: Vec<i64> = listed(&*board, &[day(22)])
        .await
        .iter()
        .map(|r| r.0)
        .collect();
    assert_eq!(order, [9, 1, 2, 5, 10, 100, 9_007_199_254_740_991]);
    for (id, rank) in order.into_iter().zip(1..) {
        let read = board.rank(&[day(22)], product(id)).await.unwrap();
        let score = if id == 9 { 8 } else { 7 };
        let place = Place {
            rank: Some(rank),
            score,
        };
        assert_eq!(read, Read::Found(place), "{id}");
    }
    let Read::Found(top) = board.top(&[day(22)], 2).await.unwrap() else {
        panic!("no board");
    };
    assert_eq!(top.len(), 2);
    assert_eq!(top[1].product, product(1));
}

async fn windows_sum_days(stage: &Stage) {
    let board = stage.board();
    rebuild(
        &*board,
        day(20),
        &[vec![counted(1, 1, 5), counted(2, 2, 4)]],
    )
    .await;
    rebuild(&*board, day(21), &[]).await;
    rebuild(
        &*board,
        day(22),
        &[vec![counted(3, 2, 3), counted(4, 3, 1)]],
    )
    .await;
    // Negative inside a day until its sale arrives, right in the sum.
    board.apply(&[own(9, day(22), 1, -2)], None).await.unwrap();
    let days = [day(20), day(21), day(22)];
    let expected = [(2, 7, 700), (1, 3, 300), (3, 1, 100)];
    assert_eq!(listed(&*board, &days).await, expected);
    let place = Place {
        rank: Some(2),
        score: 3,
    };
    let read = board.rank(&days, product(1)).await.unwrap();
    assert_eq!(read, Read::Found(place));
    let read = board.rank(&days, product(4)).await.unwrap();
    assert_eq!(read, Read::Found(Place::NONE));
    assert_eq!(listed(&*board, &[day(21)]).await, []);
}

async fn a_board_that_went_back_says_where_to(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[]).await;
    let apply = async |seq, start, next| {
        let batch = [own(seq, day(22), 1, 1)];
        board.apply(&batch, Some(&at(start, next))).await.unwrap()
    };
    assert_eq!(apply(1, 0, 10).await, Applied::Done);
    assert_eq!(apply(2, 10, 20).await, Applied::Done);
    assert_eq!(apply(3, 25, 30).await, Applied::Behind { next: 20 });
    // A batch that comes again does not move the partition back.
    assert_eq!(apply(1, 0, 10).await, Applied::Done);
    assert_eq!(apply(2, 15, 25).await, Applied::Done);
    assert_eq!(apply(3, 25, 30).await, Applied::Done);
    assert_eq!(apply(4, 40, 41).await, Applied::Behind { next: 30 });
    board.place(&at(0, 0).partition, 40).await.unwrap();
    assert_eq!(apply(4, 40, 41).await, Applied::Done);
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 4, 400)]);
}

async fn an_unknown_partition_says_so(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[]).await;
    let batch = [own(1, day(22), 1, 1)];
    let apply = async |start| board.apply(&batch, Some(&at(start, 9))).await.unwrap();
    assert_eq!(apply(5).await, Applied::Unplaced);
    board.place(&at(0, 0).partition, 5).await.unwrap();
    assert_eq!(apply(5).await, Applied::Done);
    board.forget_places().await.unwrap();
    assert_eq!(apply(5).await, Applied::Unplaced);
    assert_eq!(apply(0).await, Applied::Done);
}

async fn a_refused_batch_changes_nothing(stage: &Stage) {
    let board = stage.board();
    rebuild(&*board, day(22), &[]).await;
    let batch = [own(1, day(22), 1, 1), own(2, day(23), 1, 1)];
    let missing = Applied::Missing(vec![day(23)]);
    assert_eq!(board.apply(&batch, Some(&at(0, 2))).await.unwrap(), missing);
    assert_eq!(listed(&*board, &[day(22)]).await, []);
    rebuild(&*board, day(23), &[]).await;
    assert_eq!(
        board.apply(&batch, Some(&at(0, 2))).await.unwrap(),
        Applied::Done
    );
    assert_eq!(listed(&*board, &[day(22)]).await, [(1, 1, 100)]);
    assert_eq!(
        board.apply(&[], Some(&at(2, 5))).await.unwrap(),
        Applied::Done
    );
    assert_eq!(
        board.apply(&[], Some(&at(6, 7))).await.unwrap(),
        Applied::Behind { next: 5 }
    );
}
