//! The coupons' store: campaigns and their changes, issues under lock, epochs, and who may recover the queue.

mod lifetime;

use std::sync::Arc;

use commerce::answer::{Answer, Answered, Keyed};
use commerce::clock::from_us;
use commerce::coupon::issue::{Decision, Numbered, decide};
use commerce::coupon::model::Patch;
use commerce::coupon::{
    Campaign, Change, Epochs, IssueMode, Issuing, NewCampaign, Refusal, State, Store, Wish,
};
use commerce::ids::{CouponId, UserCouponId, UserId};
use commerce::page::{Cursor, PageRequest};
use jiff::{SignedDuration, Timestamp};
use stores::sql::coupons::SqlCoupons;

use crate::backends::{Backend, claim, on_both};
use lifetime::{
    a_closed_campaign_spends_the_number, direct_issues_stop_at_the_quota,
    epochs_begin_above_the_ceiling, holdings_expire_by_the_campaign,
    one_process_recovers_at_a_time, seeding_may_be_repeated,
};

on_both!(
    a_campaign_is_created_once_a_key,
    changes_are_decided_under_lock,
    what_can_be_claimed_is_listed,
    issues_follow_the_range_and_repeat_harmlessly,
    concurrent_batches_issue_each_number_once,
    a_closed_campaign_spends_the_number,
    direct_issues_stop_at_the_quota,
    holdings_expire_by_the_campaign,
    epochs_begin_above_the_ceiling,
    one_process_recovers_at_a_time,
    seeding_may_be_repeated,
);

fn coupon(id: i64) -> CouponId {
    CouponId::try_from(id).unwrap()
}

fn user(id: i64) -> UserId {
    UserId::try_from(id).unwrap()
}

fn held(id: i64) -> UserCouponId {
    UserCouponId::try_from(id).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn new(id: i64, quota: i64, issue_mode: IssueMode) -> NewCampaign {
    let hour = SignedDuration::from_hours(1);
    let cut = |at: Timestamp| from_us(at.as_microsecond());
    NewCampaign {
        id: coupon(id),
        name: format!("쿠폰 {id}").try_into().unwrap(),
        discount_amount: 5_000.try_into().unwrap(),
        min_order_amount: 10_000.try_into().unwrap(),
        quota: quota.try_into().unwrap(),
        claim_from: cut(now() - hour),
        claim_to: cut(now() + hour),
        expires_at: cut(now() + hour * 2),
        issue_mode,
        at: cut(now()),
    }
}

fn render(outcome: &Result<Campaign, Refusal>) -> Answer {
    Answer {
        status: if outcome.is_ok() { 200 } else { 409 },
        location: None,
        body: match outcome {
            Ok(campaign) => format!("{} v{}", campaign.id, campaign.version).into(),
            Err(refusal) => refusal.code().into(),
        },
    }
}

pub async fn create(store: &SqlCoupons, new: NewCampaign) -> CouponId {
    let id = new.id;
    let keyed = Keyed {
        command: new,
        claim: None,
        render: &render,
    };
    let answered = store.create(keyed).await.unwrap();
    assert!(matches!(answered, Answered::Fresh(answer) if answer.status == 200));
    id
}

async fn change(store: &SqlCoupons, id: CouponId, wish: Wish) -> String {
    let keyed = Keyed {
        command: Change {
            id,
            wish,
            at: now(),
        },
        claim: None,
        render: &render,
    };
    match store.change(keyed).await.unwrap() {
        Answered::Fresh(answer) => String::from_utf8(answer.body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn request(id: CouponId, who: i64, epoch: i64, sequence: i64) -> Numbered {
    Numbered {
        coupon: id,
        user: user(who),
        epoch,
        sequence,
    }
}

/// `first`: the id that the first request would get.
async fn issue(store: &SqlCoupons, first: i64, requests: &[Numbered]) -> Vec<Decision> {
    let ids: Vec<_> = (first..).take(requests.len()).map(held).collect();
    let decide = |snapshot: &_| decide(snapshot, requests, &ids);
    store.issue(requests, now(), &decide).await.unwrap()
}

async fn a_campaign_is_created_once_a_key(backend: &Backend) {
    let store = SqlCoupons::new(backend.connect().await);
    let claim = claim(1, 1);
    for id in [1, 2] {
        let keyed = Keyed {
            command: new(id, 10, IssueMode::Queue),
            claim: Some(&claim),
            render: &render,
        };
        let answered = store.create(keyed).await.unwrap();
        let (Answered::Fresh(answer) | Answered::Replayed(answer)) = answered else {
            panic!("{answered:?}");
        };
        assert_eq!(answer.body, "1 v1");
    }
    let found = store.find(coupon(1)).await.unwrap().unwrap();
    let expected = new(1, 10, IssueMode::Queue).campaign();
    assert_eq!(found.name, expected.name);
    assert_eq!((found.quota, found.range), (expected.quota, expected.range));
    assert_eq!(found.issue_mode, IssueMode::Queue);
    assert!(store.find(coupon(2)).await.unwrap().is_none());
}

async fn changes_are_decided_under_lock(backend: &Backend) {
    let store = SqlCoupons::new(backend.connect().await);
    let id = create(&store, new(1, 10, IssueMode::Queue)).await;
    let missing = change(&store, coupon(9), Wish::Pause).await;
    assert_eq!(missing, "coupon-not-found");
    assert_eq!(change(&store, id, Wish::Pause).await, "1 v2");
    assert_eq!(change(&store, id, Wish::Pause).await, "1 v2");
    assert_eq!(change(&store, id, Wish::Resume).await, "1 v3");
    issue(&store, 1, &[request(id, 1, 1, 1), request(id, 2, 1, 2)]).await;
    let quota = |quota: i64| {
        Wish::Patch(Patch {
            quota: Some(quota.try_into().unwrap()),
            ..Patch::default()
        })
    };
    assert_eq!(change(&store, id, quota(1)).await, "coupon-quota-too-low");
    assert_eq!(change(&store, id, quota(15)).await, "1 v4");
    assert_eq!(change(&store, id, quota(5)).await, "1 v5");
    let found = store.find(id).await.unwrap().unwrap();
    assert_eq!((found.range.slots, found.ceiling, found.issued), (5, 15, 2));
    let backwards = Wish::Patch(Patch {
        claim_to: Some(found.claim_from),
        ..Patch::default()
    });
    assert_eq!(change(&store, id, backwards).await, "coupon-window");
    assert_eq!(change(&store, id, Wish::Close).await, "1 v6");
    assert_eq!(change(&store, id, Wish::Resume).await, "coupon-closed");
    let found = store.find(id).await.unwrap().unwrap();
    assert_eq!(found.state, State::Closed);
}

async fn what_can_be_claimed_is_listed(backend: &Backend) {
    let store = SqlCoupons::new(backend.connect().await);
    for id in 1..=5 {
        create(&store, new(id, 1, IssueMode::Direct)).await;
    }
    change(&store, coupon(2), Wish::Pause).await;
    let issued = store.issue_direct(coupon(3), user(1), held(1), now()).await;
    assert_eq!(issued.unwrap(), Ok(held(1)));
    let mut page = PageRequest {
        after: None,
        limit: 1,
    };
    let ids = |found: Vec<Campaign>| found.iter().map(|c| c.id.get()).collect::<Vec<_>>();
    assert_eq!(ids(store.claimable(now(), page).await.unwrap()), [1, 4]);
    page.after = Some(Cursor { major: 1, minor: 0 });
    assert_eq!(ids(store.claimable(now(), page).await.unwrap()), [4, 5]);
    let later = now() + SignedDuration::from_hours(3);
    assert_eq!(store.claimable(later, page).await.unwrap(), []);
}

async fn issues_follow_the_range_and_repeat_harmlessly(backend: &Backend) {
    let store = SqlCoupons::new(backend.connect().await);
    let id = create(&store, new(1, 3, IssueMode::Queue)).await;
    let other = create(&store, new(2, 3, IssueMode::Queue)).await;
    let requests = [
        request(id, 4, 1, 4),
        request(id, 3, 1, 3),
        request(other, 1, 1, 1),
        request(id, 1, 1, 1),
        request(coupon(9), 1, 1, 1),
        request(id, 1, 0, 2),
    ];
    let first = issue(&store, 101, &requests).await;
    let own = |id, void| Decision::Held { id: held(id), void };
    let expected = [
        Decision::SoldOut,
        Decision::Issue(held(102)),
        Decision::Issue(held(103)),
        Decision::Issue(held(104)),
        Decision::UnknownCoupon,
        own(104, false),
    ];
    assert_eq!(first, expected);
    let again = issue(&store, 201, &requests).await;
    let expected = [
        Decision::SoldOut,
        own(102, false),
        own(103, false),
        own(104, false),
        Decision::UnknownCoupon,
        own(104, false),
    ];
    assert_eq!(again, expected);
    // User 1 has another number of the range: it is spent, once.
    let requests = [request(id, 1, 1, 2), request(id, 7, 1, 2)];
    let expected = [own(104, true), Decision::NumberTaken];
    assert_eq!(issue(&store, 301, &requests[..1]).await, expected[..1]);
    let expected = [own(104, false), Decision::NumberTaken];
    assert_eq!(issue(&store, 301, &requests).await, expected);
    let facts = store.audit(&[(id, 3), (other, 2)]).await.unwrap();
    assert_eq!(facts[0].differences(), []);
    assert_eq!((facts[0].issued_rows, facts[0].issued_counted), (2, 2));
    assert_eq!(facts[1].undecided_first, [2]);
    assert_eq!(facts[1].differences().len(), 1);
    let holders = store.holders(id, None, 10).await.unwrap();
    let holders: Vec<_> = holders.iter().map(|h| (h.user.get(), h.sequence)).collect();
    assert_eq!(holders, [(1, 1), (3, 3)]);
    let holders = store.holders(id, Some(user(1)), 10).await.unwrap();
    assert_eq!(holders.len(), 1);
}

async fn concurrent_batches_issue_each_number_once(backend: &Backend) {
    let store = Arc::new(SqlCoupons::new(backend.connect().await));
    let id = create(&store, new(1, 60, IssueMode::Queue)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4_i64 {
        let store = store.clone();
        tasks.spawn(async move {
            // Every task delivers all numbers, in batches of its own.
            let size = 7 + task as usize * 5;
            let all: Vec<_> = (1..=80).rev().map(|n| request(id, n, 1, n)).collect();
            for (i, batch) in all.chunks(size).enumerate() {
                issue(&store, 1_000 * (task + 1) + 100 * i as i64, batch).await;
            }
        });
    }
    tasks.join_all().await;
    let facts = store.audit(&[(id, 60)]).await.unwrap();
    assert_eq!(facts[0].differences(), []);
    assert_eq!(facts[0].issued_rows, 60);
}
