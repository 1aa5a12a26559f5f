//! What a campaign goes through: closing, direct issues, expiry, epochs, seeding; and who may recover the queue.

use std::sync::Arc;

use commerce::coupon::issue::Decision;
use commerce::coupon::model::HeldStatus;
use commerce::coupon::{Epochs, IssueMode, Issuing, Refusal, Store, Wish};
use commerce::page::PageRequest;
use jiff::SignedDuration;
use sea_orm::ConnectionTrait;
use stores::sql::Database;
use stores::sql::coupons::{Seed, SqlCoupons, seed};

use super::{change, coupon, create, held, issue, new, now, request, user};
use crate::backends::Backend;

pub async fn a_closed_campaign_spends_the_number(backend: &Backend) {
    let store = SqlCoupons::new(backend.connect().await);
    let id = create(&store, new(1, 3, IssueMode::Queue)).await;
    change(&store, id, Wish::Pause).await;
    let requests = [request(id, 1, 1, 1)];
    assert_eq!(issue(&store, 1, &requests).await, [Decision::Return]);
    change(&store, id, Wish::Close).await;
    let closed = |void| [Decision::Closed { void }];
    assert_eq!(issue(&store, 1, &requests).await, closed(true));
    assert_eq!(issue(&store, 1, &requests).await, closed(false));
    let facts = store.audit(&[(id, 1)]).await.unwrap();
    assert_eq!(facts[0].differences(), []);
}

pub async fn direct_issues_stop_at_the_quota(backend: &Backend) {
    let store = Arc::new(SqlCoupons::new(backend.connect().await));
    let id = create(&store, new(1, 10, IssueMode::Direct)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for who in 1..=30_i64 {
        let store = store.clone();
        let issue = move |n: i64| {
            let store = store.clone();
            async move { store.issue_direct(id, user(who), held(n), now()).await }
        };
        tasks.spawn(async move { (issue(who).await.unwrap(), issue(100 + who).await.unwrap()) });
    }
    let mut issued = 0;
    for (first, second) in tasks.join_all().await {
        match first {
            Ok(id) => {
                issued += 1;
                assert_eq!(second, Err(Refusal::AlreadyIssued(id)));
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::SoldOut);
                assert_eq!(second, Err(Refusal::SoldOut));
            }
        }
    }
    assert_eq!(issued, 10);
    let missing = store.issue_direct(coupon(9), user(1), held(900), now());
    assert_eq!(missing.await.unwrap(), Err(Refusal::NotFound));
    // A message with a number cannot draw on it.
    let forged = issue(&store, 500, &[request(id, 99, 1, 1)]).await;
    assert_eq!(forged, [Decision::UnknownCoupon]);
}

pub async fn holdings_expire_by_the_campaign(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlCoupons::new(db.clone());
    let mut over = new(1, 3, IssueMode::Direct);
    over.expires_at = over.at - SignedDuration::from_mins(1);
    create(&store, over).await;
    create(&store, new(2, 3, IssueMode::Direct)).await;
    for (id, n) in [(1, 11), (2, 12)] {
        let issued = store.issue_direct(coupon(id), user(1), held(n), now());
        issued.await.unwrap().unwrap();
    }
    let statuses = || async {
        let held = store.held_by(user(1), 10).await.unwrap();
        let pair = |h: &commerce::coupon::Held| (h.user_coupon_id.get(), h.status);
        held.iter().map(pair).collect::<Vec<_>>()
    };
    let expected = [(12, HeldStatus::Available), (11, HeldStatus::Expired)];
    assert_eq!(statuses().await, expected);
    use_all(&db).await;
    let expected = [(12, HeldStatus::Used), (11, HeldStatus::Used)];
    assert_eq!(statuses().await, expected);
    assert_eq!(
        store.holding(coupon(2), user(1)).await.unwrap(),
        Some(held(12))
    );
    assert_eq!(store.holding(coupon(2), user(2)).await.unwrap(), None);
}

async fn use_all(db: &Database) {
    let update = db.statement(
        "UPDATE user_coupons SET status = 'USED', order_id = 1, used_us = 1",
        vec![],
    );
    db.writer().execute_raw(update).await.unwrap();
}

pub async fn epochs_begin_above_the_ceiling(backend: &Backend) {
    let store = SqlCoupons::new(backend.connect().await);
    let id = create(&store, new(1, 10, IssueMode::Queue)).await;
    create(&store, new(2, 10, IssueMode::Direct)).await;
    let opened = store.open_first(id).await.unwrap().unwrap();
    assert_eq!(opened.opened_epoch, 1);
    assert!(store.open_first(id).await.unwrap().is_none());
    assert!(store.open_first(coupon(9)).await.unwrap().is_none());
    issue(&store, 1, &[request(id, 1, 1, 1), request(id, 2, 1, 5)]).await;
    let next = store.next_epoch(id).await.unwrap().unwrap();
    let range = next.range;
    assert_eq!((range.epoch, range.base, range.slots), (2, 10, 8));
    let requests = [
        request(id, 3, 1, 2),
        request(id, 3, 2, 18),
        request(id, 4, 2, 19),
    ];
    let expected = [
        Decision::Restarted,
        Decision::Issue(held(12)),
        Decision::SoldOut,
    ];
    assert_eq!(issue(&store, 11, &requests).await, expected);
    let live = store.live(now(), None, 10).await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].opened_epoch, 2);
    let later = now() + SignedDuration::from_hours(3);
    assert_eq!(store.live(later, None, 10).await.unwrap(), []);
    assert_eq!(store.live(now(), Some(id), 10).await.unwrap(), []);
}

pub async fn one_process_recovers_at_a_time(backend: &Backend) {
    let store = SqlCoupons::new(backend.connect().await);
    assert_eq!(store.incarnation().await.unwrap(), None);
    assert!(store.lease_recovery("a", 60_000).await.unwrap());
    assert!(store.lease_recovery("a", 60_000).await.unwrap());
    assert!(!store.lease_recovery("b", 60_000).await.unwrap());
    assert!(!store.recovered("b", "run").await.unwrap());
    assert_eq!(store.incarnation().await.unwrap(), None);
    assert!(store.recovered("a", "run").await.unwrap());
    assert_eq!(store.incarnation().await.unwrap().as_deref(), Some("run"));
    assert!(store.lease_recovery("b", 0).await.unwrap());
    testkit::eventually(
        std::time::Duration::from_secs(60),
        "it lapses",
        async || {
            anyhow::ensure!(store.lease_recovery("c", 60_000).await?);
            Ok(())
        },
    )
    .await;
    assert!(!store.recovered("b", "other").await.unwrap());
}

pub async fn seeding_may_be_repeated(backend: &Backend) {
    let db = backend.connect().await;
    let store = SqlCoupons::new(db.clone());
    let filled = Seed {
        coupons: 3,
        quota: 50.try_into().unwrap(),
        discount: 1_000.try_into().unwrap(),
        issue_mode: IssueMode::Queue,
        now: now(),
        open_for: SignedDuration::from_hours(24),
    };
    seed(&db, &filled).await.unwrap();
    issue(&store, 1, &[request(coupon(2), 1, 1, 1)]).await;
    seed(&db, &filled).await.unwrap();
    let page = PageRequest {
        after: None,
        limit: 10,
    };
    let found = store.claimable(now(), page).await.unwrap();
    let issued: Vec<_> = found.iter().map(|c| (c.id.get(), c.issued)).collect();
    assert_eq!(issued, [(1, 0), (2, 1), (3, 0)]);
    let ids = commerce::ids::Allocator::new(Arc::new(db), 1);
    let next = ids.one(commerce::ids::Series::Coupon).await.unwrap();
    assert!(next > 3, "{next}");
}
