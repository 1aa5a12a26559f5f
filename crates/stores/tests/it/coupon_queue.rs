//! The coupon queue's contract, on both adapters: numbers without gaps or repeats, leases that come back, results that stay.

mod endings;

use std::collections::BTreeSet;
use std::sync::Arc;

use commerce::coupon::model::Range;
use commerce::coupon::queue::{
    Ask, Depth, Entry, Joined, Known, Lease, Leased, Settled, Settlement, Terms,
};
use commerce::coupon::{Queue, State};
use commerce::ids::{CouponId, UserCouponId, UserId};
use stores::embedded::queue::EmbeddedQueue;
use stores::redis::{Redis, queue::RedisQueue};

use crate::backends::{Backend, patient};
use endings::{
    a_new_epoch_keeps_holders_and_order, a_stale_leader_is_fenced, results_end_a_place,
    slots_shrink_only_to_what_is_given, terms_are_followed,
};

/// `on_both!` for queues: tests `sqlite::a` and `redis::a` of `async fn a(Arc<dyn Queue>)`.
macro_rules! on_both_queues {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let backend = crate::backends::Backend::sqlite().await;
                super::$name(super::embedded(&backend).await).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(redis) = testkit::shared::redis().await {
                    super::$name(super::real(&redis).await).await;
                }
            })*
        }
    };
}

on_both_queues!(
    places_are_given_in_order_and_once,
    many_at_once_get_every_number,
    the_window_and_state_are_judged,
    nobody_joins_what_is_unknown_or_recovering,
    leases_come_in_order_and_return_when_they_lapse,
    one_scheduler_leads,
    the_unsettled_are_bounded,
    numbers_go_back_to_their_places,
    results_end_a_place,
    results_of_one_call_follow_each_other,
    terms_are_followed,
    slots_shrink_only_to_what_is_given,
    a_new_epoch_keeps_holders_and_order,
    a_stale_leader_is_fenced,
);

pub async fn embedded(backend: &Backend) -> Arc<dyn Queue> {
    let db = backend.connect().await;
    Arc::new(EmbeddedQueue::new(db, &Default::default()))
}

pub async fn real(server: &testkit::Redis) -> Arc<dyn Queue> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = Redis::connect(&patient(server)).unwrap();
    let queue = RedisQueue::new(redis, &Default::default());
    queue.reopen(&[]).await.unwrap();
    Arc::new(queue)
}

/// "Now", and an instant of the window, which is 1,000 seconds long: far in the future, so that Redis keeps its keys.
const NOW: i64 = 4_000_000_000_000_000;
const SECOND: i64 = 1_000_000;

fn coupon() -> CouponId {
    CouponId::try_from(7).unwrap()
}

fn user(id: i64) -> UserId {
    UserId::try_from(id).unwrap()
}

fn held(id: i64) -> UserCouponId {
    UserCouponId::try_from(id).unwrap()
}

fn terms(epoch: i64, base: i64, slots: i64) -> Terms {
    Terms {
        coupon: coupon(),
        range: Range { epoch, base, slots },
        claim_from_us: NOW,
        claim_to_us: NOW + 1_000 * SECOND,
        keep_until_us: NOW + 9_000 * SECOND,
        state: State::Open,
        version: epoch,
    }
}

/// A campaign with `slots`, in its first epoch.
async fn open(queue: &dyn Queue, slots: i64) {
    queue.rebuild(&terms(1, 0, slots), &[]).await.unwrap();
}

async fn join(queue: &dyn Queue, who: i64) -> Joined {
    queue.join(coupon(), user(who), NOW).await.unwrap()
}

/// Users 1 to `count` join in turn.
async fn fill(queue: &dyn Queue, count: i64) {
    for who in 1..=count {
        assert!(matches!(join(queue, who).await, Joined::Queued(_)));
    }
}

fn ask(owner: &str, now_us: i64, entries_max: usize) -> Ask<'_> {
    Ask {
        coupon: coupon(),
        owner,
        now_us,
        lease_ms: 10_000,
        entries_max,
        unsettled_max: 1_000,
    }
}

async fn lease(queue: &dyn Queue, owner: &str, now_us: i64, max: usize) -> Lease {
    match queue.lease(ask(owner, now_us, max)).await.unwrap() {
        Leased::Some(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn numbers(lease: &Lease) -> Vec<(i64, i64)> {
    let pair = |w: &commerce::coupon::queue::Waiting| (w.user.get(), w.sequence);
    lease.entries.iter().map(pair).collect()
}

fn users(lease: &Lease) -> Vec<UserId> {
    lease.entries.iter().map(|waiting| waiting.user).collect()
}

async fn settle(queue: &dyn Queue, who: i64, sequence: i64, settlement: Settlement) {
    let settled = Settled {
        user: user(who),
        sequence,
        settlement,
    };
    queue.settle(coupon(), &[settled]).await.unwrap();
}

async fn standing(queue: &dyn Queue, who: i64) -> Option<Entry> {
    let standings = queue.standings(coupon(), &[user(who)]).await.unwrap();
    standings.unwrap().entries[0]
}

async fn depth(queue: &dyn Queue, terms: &Terms) -> Depth {
    match queue.refresh(terms).await.unwrap() {
        Known::Current(depth) => depth,
        other => panic!("{other:?}"),
    }
}

async fn places_are_given_in_order_and_once(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    queue.rebuild(&terms(3, 100, 2), &[]).await.unwrap();
    for who in [5, 4] {
        let Joined::Queued(place) = join(queue, who).await else {
            panic!("not queued");
        };
        assert_eq!(place.position(), 6 - who);
        assert_eq!(place.size(), 6 - who);
    }
    let Joined::AlreadyQueued(place) = join(queue, 5).await else {
        panic!("joined twice");
    };
    assert_eq!((place.position(), place.size()), (1, 2));
    assert_eq!(join(queue, 9).await, Joined::SoldOut);
    assert_eq!(join(queue, 9).await, Joined::SoldOut);
    let standings = queue
        .standings(coupon(), &[user(4), user(9), user(5)])
        .await;
    let standings = standings.unwrap().unwrap();
    assert_eq!(
        (standings.epoch, standings.base, standings.last),
        (3, 100, 102)
    );
    let sequences: Vec<_> = standings
        .entries
        .iter()
        .map(|e| e.map(|e| e.sequence))
        .collect();
    assert_eq!(sequences, [Some(102), None, Some(101)]);
}

async fn many_at_once_get_every_number(queue: Arc<dyn Queue>) {
    open(queue.as_ref(), 150).await;
    let mut tasks = tokio::task::JoinSet::new();
    // Everybody twice.
    for who in (1..=200).chain(1..=200) {
        let queue = queue.clone();
        tasks.spawn(async move { join(queue.as_ref(), who).await });
    }
    let mut given = BTreeSet::new();
    let mut again = 0;
    for joined in tasks.join_all().await {
        match joined {
            Joined::Queued(place) => assert!(given.insert(place.sequence)),
            Joined::AlreadyQueued(_) => again += 1,
            Joined::SoldOut => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(given, (1..=150).collect());
    assert_eq!(again, 150);
}

async fn the_window_and_state_are_judged(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    let at = |now| async move { queue.join(coupon(), user(1), now).await.unwrap() };
    assert_eq!(at(NOW - 1).await, Joined::NotOpen);
    assert_eq!(at(NOW + 1_000 * SECOND).await, Joined::Ended);
    let mut changed = terms(1, 0, 10);
    for (state, joined) in [
        (State::Paused, Joined::Paused),
        (State::Closed, Joined::Closed),
    ] {
        changed.state = state;
        changed.version += 1;
        depth(queue, &changed).await;
        assert_eq!(at(NOW).await, joined);
    }
}

async fn nobody_joins_what_is_unknown_or_recovering(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    assert_eq!(join(queue, 1).await, Joined::Unknown);
    assert_eq!(queue.standings(coupon(), &[user(1)]).await.unwrap(), None);
    let known = queue.refresh(&terms(1, 0, 10)).await.unwrap();
    assert_eq!(known, Known::Missing);
    let leased = queue.lease(ask("a", NOW, 10)).await.unwrap();
    assert_eq!(leased, Leased::Nothing);
    // Results of a campaign that the queue does not know are passed over.
    settle(queue, 1, 1, Settlement::SoldOut).await;
    queue.suspend(coupon()).await.unwrap();
    assert_eq!(join(queue, 1).await, Joined::Unknown);
    open(queue, 10).await;
    fill(queue, 1).await;
    queue.suspend(coupon()).await.unwrap();
    assert_eq!(join(queue, 1).await, Joined::Recovering);
    let known = queue.refresh(&terms(1, 0, 10)).await.unwrap();
    assert_eq!(known, Known::Recovering);
    let leased = queue.lease(ask("a", NOW, 10)).await.unwrap();
    assert_eq!(leased, Leased::Nothing);
}

/// The second of two results of a user meets what the first has made of it.
async fn results_of_one_call_follow_each_other(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 3).await;
    let results = [
        (1, 1, Settlement::Issued(held(11))),
        (1, 1, Settlement::SoldOut),
        (2, 2, Settlement::SoldOut),
        (2, 2, Settlement::Issued(held(12))),
        (3, 2, Settlement::SoldOut),
        (9, 0, Settlement::Issued(held(19))),
        (9, 4, Settlement::SoldOut),
    ];
    let results = results.map(|(who, sequence, settlement)| Settled {
        user: user(who),
        sequence,
        settlement,
    });
    queue.settle(coupon(), &results).await.unwrap();
    for (who, sequence, id) in [
        (1, 1, Some(11)),
        (2, 2, Some(12)),
        (3, 3, None),
        (9, 0, Some(19)),
    ] {
        let settled = id.map(|id| Settlement::Issued(held(id)));
        let expected = Some(Entry { sequence, settled });
        assert_eq!(standing(queue, who).await, expected, "user {who}");
    }
}

async fn leases_come_in_order_and_return_when_they_lapse(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 5).await;
    let first = lease(queue, "a", NOW, 2).await;
    assert_eq!(numbers(&first), [(1, 1), (2, 2)]);
    assert_eq!(first.epoch, 1);
    assert!(first.entries.iter().all(|entry| entry.joined_us == NOW));
    let second = lease(queue, "a", NOW + SECOND, 2).await;
    assert_eq!(numbers(&second), [(3, 3), (4, 4)]);
    let acknowledged = queue.acknowledge(&second, &users(&second)[..1]).await;
    assert!(acknowledged.unwrap());
    // Past both deadlines: what was not acknowledged comes first, at its old numbers.
    let third = lease(queue, "a", NOW + 30 * SECOND, 10).await;
    assert_eq!(numbers(&third), [(1, 1), (2, 2), (4, 4), (5, 5)]);
}

async fn one_scheduler_leads(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 4).await;
    let first = lease(queue, "a", NOW, 1).await;
    let leased = queue.lease(ask("b", NOW + SECOND, 1)).await.unwrap();
    assert_eq!(leased, Leased::Busy);
    // A leader that has given up need not be waited for.
    queue.resign(coupon(), "b").await.unwrap();
    let leased = queue.lease(ask("b", NOW + SECOND, 1)).await.unwrap();
    assert_eq!(leased, Leased::Busy);
    queue.resign(coupon(), "a").await.unwrap();
    let second = lease(queue, "b", NOW + SECOND, 1).await;
    assert_eq!(numbers(&second), [(2, 2)]);
    assert!(second.token > first.token);
    assert!(!queue.acknowledge(&first, &users(&first)).await.unwrap());
    // The new leader goes silent: after its time another may lead, and all comes back.
    let third = lease(queue, "c", NOW + 60 * SECOND, 10).await;
    assert_eq!(numbers(&third), [(1, 1), (2, 2), (3, 3), (4, 4)]);
}

async fn the_unsettled_are_bounded(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 5).await;
    let bounded = Ask {
        unsettled_max: 2,
        ..ask("a", NOW, 10)
    };
    let Leased::Some(first) = queue.lease(bounded).await.unwrap() else {
        panic!("nothing leased");
    };
    assert_eq!(numbers(&first), [(1, 1), (2, 2)]);
    queue.acknowledge(&first, &users(&first)).await.unwrap();
    assert_eq!(queue.lease(bounded).await.unwrap(), Leased::Nothing);
    let expected = Depth {
        waiting: 3,
        leased: 0,
        unsettled: 2,
    };
    assert_eq!(depth(queue, &terms(1, 0, 10)).await, expected);
    settle(queue, 1, 1, Settlement::Issued(held(11))).await;
    let Leased::Some(next) = queue.lease(bounded).await.unwrap() else {
        panic!("nothing leased");
    };
    assert_eq!(numbers(&next), [(3, 3)]);
}

async fn numbers_go_back_to_their_places(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 4).await;
    let first = lease(queue, "a", NOW, 3).await;
    queue
        .acknowledge(&first, &users(&first)[..2])
        .await
        .unwrap();
    settle(queue, 1, 1, Settlement::Issued(held(11))).await;
    // 1 has its result; 2 was published, 3 only leased; 4 never had number 9.
    let back = [(user(3), 3), (user(2), 2), (user(1), 1), (user(4), 9)];
    queue.give_back(coupon(), &back).await.unwrap();
    let again = lease(queue, "a", NOW, 10).await;
    assert_eq!(numbers(&again), [(2, 2), (3, 3), (4, 4)]);
}
