//! The decision, one case each, and against every order of arrival.

use proptest::prelude::*;

use super::*;

const COUPON: i64 = 7;

fn coupon() -> CouponId {
    CouponId::try_from(COUPON).unwrap()
}

fn user(id: i64) -> UserId {
    UserId::try_from(id).unwrap()
}

fn held(id: i64) -> UserCouponId {
    UserCouponId::try_from(id).unwrap()
}

fn request(who: i64, epoch: i64, sequence: i64) -> Numbered {
    Numbered {
        coupon: coupon(),
        user: user(who),
        epoch,
        sequence,
    }
}

/// Epoch 2, winners 101 to 103.
fn snapshot(state: State) -> Snapshot {
    let range = Range {
        epoch: 2,
        base: 100,
        slots: 3,
    };
    Snapshot {
        rules: HashMap::from([(coupon(), Rule { range, state })]),
        ..Snapshot::default()
    }
}

fn ids(count: usize) -> Vec<UserCouponId> {
    (1..=count as i64).map(|i| held(1_000 + i)).collect()
}

fn run(snapshot: &Snapshot, requests: &[Numbered]) -> Vec<Decision> {
    decide(snapshot, requests, &ids(requests.len()))
}

#[test]
fn a_number_in_the_range_wins_whatever_comes_first() {
    let requests = [
        request(1, 2, 104),
        request(2, 2, 103),
        request(3, 2, 101),
        request(2, 2, 103),
        request(4, 2, 100),
        request(5, 1, 3),
        request(6, 3, 102),
    ];
    let id = |n: i64| held(1_000 + n);
    let expected = vec![
        Decision::SoldOut,
        Decision::Issue(id(2)),
        Decision::Issue(id(3)),
        Decision::Held {
            id: id(2),
            void: false,
        },
        Decision::Restarted,
        Decision::Restarted,
        Decision::Restarted,
    ];
    assert_eq!(run(&snapshot(State::Open), &requests), expected);
}

#[test]
fn who_holds_it_already_succeeds_with_what_is_held() {
    let mut snapshot = snapshot(State::Open);
    let before = Holding {
        id: held(5),
        epoch: 1,
        sequence: Some(40),
    };
    snapshot.held.insert((coupon(), user(1)), before);
    let requests = [
        request(1, 1, 40),
        request(1, 2, 102),
        request(1, 2, 102),
        request(1, 2, 999),
    ];
    let held = |void| Decision::Held { id: held(5), void };
    let expected = vec![held(false), held(true), held(false), held(false)];
    assert_eq!(run(&snapshot, &requests), expected);
}

#[test]
fn a_paused_campaign_gives_the_number_back_and_a_closed_one_spends_it() {
    let requests = [request(1, 2, 101), request(1, 2, 101), request(2, 2, 200)];
    let paused = run(&snapshot(State::Paused), &requests);
    assert_eq!(
        paused,
        [Decision::Return, Decision::Return, Decision::SoldOut]
    );
    let closed = run(&snapshot(State::Closed), &requests);
    let expected = [
        Decision::Closed { void: true },
        Decision::Closed { void: false },
        Decision::SoldOut,
    ];
    assert_eq!(closed, expected);
}

#[test]
fn a_void_number_stays_void_for_its_user() {
    let mut snapshot = snapshot(State::Closed);
    let number = Number {
        coupon: coupon(),
        epoch: 2,
        sequence: 101,
    };
    snapshot.voids.insert(number, user(1));
    let decisions = run(&snapshot, &[request(1, 2, 101), request(2, 2, 101)]);
    assert_eq!(
        decisions,
        [Decision::Closed { void: false }, Decision::NumberTaken]
    );
}

#[test]
fn a_number_belongs_to_one_user() {
    let requests = [request(1, 2, 101), request(2, 2, 101)];
    let decisions = run(&snapshot(State::Open), &requests);
    assert_eq!(
        decisions,
        [Decision::Issue(held(1_001)), Decision::NumberTaken]
    );
}

#[test]
fn an_unknown_coupon_is_named() {
    let decisions = run(&Snapshot::default(), &[request(1, 1, 1)]);
    assert_eq!(decisions, [Decision::UnknownCoupon]);
}

/// The store between batches: applies what was decided.
fn apply(snapshot: &mut Snapshot, requests: &[Numbered], decisions: &[Decision]) {
    for (request, decision) in requests.iter().zip(decisions) {
        let number = Number {
            coupon: request.coupon,
            epoch: request.epoch,
            sequence: request.sequence,
        };
        match decision {
            Decision::Issue(id) => {
                let holding = Holding {
                    id: *id,
                    epoch: request.epoch,
                    sequence: Some(request.sequence),
                };
                let key = (request.coupon, request.user);
                assert!(snapshot.held.insert(key, holding).is_none());
                assert!(snapshot.issued.insert(number, request.user).is_none());
            }
            Decision::Held { void: true, .. } | Decision::Closed { void: true } => {
                assert!(snapshot.voids.insert(number, request.user).is_none());
            }
            _ => {}
        }
    }
}

proptest! {
    /// Whatever arrives, in whatever order, as often as it likes: one a user, one a number, none outside the range; and whoever
    /// the queue gave a winning number has the coupon in the end.
    #[test]
    fn winners_are_the_range(
        arrivals in prop::collection::vec((1..30_i64, 1..4_i64, 95..125_i64), 0..200),
        batch in 1..17_usize,
        slots in 0..12_i64,
    ) {
        let mut snapshot = snapshot(State::Open);
        if let Some(rule) = snapshot.rules.get_mut(&coupon()) {
            rule.range.slots = slots;
        }
        // The queue's own: user 1000 + n has number 100 + n, and each arrives among the strangers.
        let mut requests: Vec<Numbered> =
            arrivals.iter().map(|(u, e, s)| request(*u, *e, *s)).collect();
        requests.retain(|r| !(r.epoch == 2 && r.sequence > 100));
        for n in 1..=20 {
            let at = (n as usize * 7) % (requests.len() + 1);
            requests.insert(at, request(1_000 + n, 2, 100 + n));
        }
        let mut next = 1;
        for chunk in requests.chunks(batch) {
            let ids: Vec<_> = chunk.iter().map(|_| { next += 1; held(next) }).collect();
            let decisions = decide(&snapshot, chunk, &ids);
            prop_assert_eq!(decisions.len(), chunk.len());
            apply(&mut snapshot, chunk, &decisions);
        }
        let mut winners: Vec<i64> = snapshot.held.keys().map(|(_, u)| u.get()).collect();
        winners.sort_unstable();
        let expected: Vec<i64> = (1..=slots).map(|n| 1_000 + n).collect();
        prop_assert_eq!(winners, expected);
        prop_assert!(snapshot.issued.keys().all(|n| n.epoch == 2 && n.sequence > 100 && n.sequence <= 100 + slots));
    }
}
