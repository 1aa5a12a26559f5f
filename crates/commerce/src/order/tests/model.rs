//! `decide` against a model that takes one order at a time from plain maps: the same decisions, stock never negative, money
//! conserved, each refusal for its reason, a batch no different from its orders one by one.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{at, coupon, pending, product, stocked, user, won};
use crate::amount::EXACT_MAX;
use crate::catalogue::Listing;
use crate::order::{Decision, HeldCoupon, Pending, Refusal, Snapshot, decide};

/// Products 1 to 5 (4 is stopped, 5 costs nearly everything there is), users 1 to 3, coupons 1 to 6: 1 to 3 are good ones of
/// users 1 to 3, 4 is used, 5 has expired, 6 needs 40.
fn snapshot(stocks: [i64; 3], balances: [i64; 3]) -> Snapshot {
    let now = at("2026-11-22T00:00:00Z");
    let held = |owner, discount, minimum, available, expires: &str| HeldCoupon {
        owner: user(owner),
        available,
        discount: won(discount),
        min_order_amount: won(minimum),
        expires_at: at(expires),
    };
    let later = "2026-11-22T00:00:00.000001Z";
    Snapshot {
        now,
        products: HashMap::from([
            (product(1), stocked("one", 1, stocks[0], Listing::OnSale)),
            (product(2), stocked("ten", 10, stocks[1], Listing::OnSale)),
            (product(3), stocked("seven", 7, stocks[2], Listing::OnSale)),
            (product(4), stocked("stopped", 1, 9, Listing::Stopped)),
            (
                product(5),
                stocked("all", EXACT_MAX / 3, 99, Listing::OnSale),
            ),
        ]),
        wallets: (1..).map(user).zip(balances.map(won)).collect(),
        coupons: HashMap::from([
            (coupon(1), held(1, 5, 0, true, later)),
            (coupon(2), held(2, 5, 0, true, later)),
            (coupon(3), held(3, 12, 0, true, later)),
            (coupon(4), held(1, 5, 0, false, later)),
            (coupon(5), held(1, 5, 0, true, "2026-11-22T00:00:00Z")),
            (coupon(6), held(1, 5, 40, true, later)),
        ]),
    }
}

/// Why the order must be refused, if it must, by a snapshot that knows all before it.
fn expected(snapshot: &Snapshot, order: &Pending) -> Option<&'static str> {
    let place = &order.place;
    let mut asked: HashMap<_, i64> = HashMap::new();
    let mut total = 0_i128;
    for line in place.lines.as_slice() {
        *asked.entry(line.product_id).or_default() += line.quantity.get();
    }
    for id in place.lines.products() {
        let Some(stocked) = snapshot.products.get(&id) else {
            return Some("product-not-found");
        };
        if stocked.listing != Listing::OnSale {
            return Some("product-not-on-sale");
        }
        if stocked.stock < asked[&id] {
            return Some("out-of-stock");
        }
        total += i128::from(stocked.price.get()) * i128::from(asked[&id]);
    }
    if total > i128::from(EXACT_MAX) {
        return Some("total-too-large");
    }
    let mut due = total;
    if let Some(id) = place.coupon {
        let Some(held) = snapshot.coupons.get(&id).filter(|c| c.owner == place.user) else {
            return Some("coupon-not-found");
        };
        if !held.available {
            return Some("coupon-already-used");
        }
        if held.expires_at <= snapshot.now {
            return Some("coupon-expired");
        }
        if total < i128::from(held.min_order_amount.get()) {
            return Some("coupon-minimum-not-reached");
        }
        due -= i128::from(held.discount.get());
        if due < 0 {
            return Some("coupon-exceeds-total");
        }
    }
    let balance = snapshot.wallets.get(&place.user).map_or(0, |b| b.get());
    (i128::from(balance) < due).then_some("insufficient-balance")
}

/// The snapshot after the decision.
fn after(mut snapshot: Snapshot, decision: &Decision) -> Snapshot {
    let Ok(placement) = decision else {
        return snapshot;
    };
    let order = &placement.turn.order;
    for line in &order.order_items {
        let stocked = snapshot.products.get_mut(&line.product_id).unwrap();
        stocked.stock -= line.quantity.get();
        assert!(stocked.stock >= 0, "stock below 0");
    }
    if let Some(payment) = placement.payment {
        let balance = snapshot.wallets.get_mut(&order.user_id).unwrap();
        assert_eq!(
            balance.checked_sub(payment.amount),
            Some(payment.balance_after)
        );
        assert_eq!(payment.amount, order.discounted_amount);
        *balance = payment.balance_after;
    }
    if let Some(used) = order.user_coupon_id {
        snapshot.coupons.get_mut(&used).unwrap().available = false;
    }
    snapshot
}

fn some_orders() -> impl Strategy<Value = Vec<Pending>> {
    let product = prop_oneof![12 => 1..=3_i64, 1 => Just(4), 1 => Just(5), 1 => Just(6)];
    let asked = prop::collection::vec((product, 1..=6_i64), 1..=4);
    let with = prop_oneof![3 => Just(None), 2 => (1..=7_i64).prop_map(Some)];
    let order = (1..=4_i64, asked, with);
    prop::collection::vec(order, 0..=24).prop_map(|orders| {
        let numbered = (1..).zip(orders);
        numbered
            .map(|(id, (by, asked, with))| pending(id, by, &asked, with))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_batch_is_decided_as_the_model_does(
        orders in some_orders(),
        stocks in [0..40_i64, 0..40_i64, 0..40_i64],
        balances in [0..400_i64, 0..400_i64, 0..400_i64],
    ) {
        let start = snapshot(stocks, balances);
        let batch: Vec<&Pending> = orders.iter().collect();
        let decisions = decide(&start, &batch);
        prop_assert_eq!(decisions.len(), orders.len());
        let mut now = start;
        for (order, decision) in orders.iter().zip(&decisions) {
            let reason = decision.as_ref().err().map(Refusal::code);
            prop_assert_eq!(reason, expected(&now, order));
            prop_assert_eq!(&decide(&now, &[order])[0], decision);
            if let Ok(placement) = decision {
                let told = &placement.turn.order;
                prop_assert_eq!(told.id, order.numbers.order);
                prop_assert_eq!(told.order_items.len(), order.place.lines.as_slice().len());
                prop_assert_eq!(
                    told.total_amount.get(),
                    told.discount_amount.get() + told.discounted_amount.get()
                );
                prop_assert_eq!(told.shares().len(), placement.turn.numbers.ranking.len());
            }
            now = after(now, decision);
        }
    }
}

#[test]
fn totals_that_overflow_are_refused() {
    let start = snapshot([0, 0, 0], [400, 0, 0]);
    for asked in [&[(5, 4)][..], &[(5, 2), (5, 2)], &[(5, 99)]] {
        let order = pending(1, 1, asked, None);
        let decisions = decide(&start, &[&order]);
        assert_eq!(decisions, [Err(Refusal::TotalTooLarge)], "{asked:?}");
    }
}

#[test]
fn the_last_piece_goes_to_the_first_who_asks() {
    let start = snapshot([5, 0, 0], [400, 400, 0]);
    let orders = [
        pending(1, 1, &[(1, 6)], None),
        pending(2, 1, &[(1, 3), (1, 2)], None),
        pending(3, 2, &[(1, 1)], None),
    ];
    let batch: Vec<&Pending> = orders.iter().collect();
    let decisions = decide(&start, &batch);
    let codes: Vec<_> = decisions
        .iter()
        .map(|d| d.as_ref().err().map(Refusal::code))
        .collect();
    assert_eq!(codes, [Some("out-of-stock"), None, Some("out-of-stock")]);
}
