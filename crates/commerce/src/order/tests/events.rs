//! The events of a sale and of its cancel, and every refusal's problem, byte for byte.

use std::collections::HashMap;

use messaging::outbox::Event;

use super::{at, pending, product, stocked, user, won};
use crate::catalogue::Listing;
use crate::order::cancel::{self, CancelOrder};
use crate::order::events::{Events, Settings};
use crate::order::{EventNumbers, FollowUp, HeldCoupon, Refusal, Snapshot, Turn, decide};
use crate::wire::{KeyStyle, Style, TimeFormat};

fn sale() -> Turn {
    let held = HeldCoupon {
        owner: user(1001),
        available: true,
        discount: won(1_000),
        min_order_amount: won(0),
        expires_at: at("2027-01-01T00:00:00Z"),
    };
    let beans = stocked("Coffee beans", 12_000, 9, Listing::OnSale);
    let cup = stocked("찻잔 \"white\"", 7_500, 9, Listing::OnSale);
    let snapshot = Snapshot {
        now: at("2026-11-22T14:15:01Z"),
        products: HashMap::from([(product(1), beans), (product(2), cup)]),
        wallets: HashMap::from([(user(1001), won(100_000))]),
        coupons: HashMap::from([(super::coupon(7), held)]),
    };
    let order = pending(3, 1001, &[(2, 1), (1, 2), (2, 3)], Some(7));
    decide(&snapshot, &[&order]).remove(0).expect("placed").turn
}

fn cancelled() -> Turn {
    let order = sale().order;
    let command = CancelOrder {
        order: order.id,
        owner: None,
        at: at("2026-11-23T09:00:00.5Z"),
        traceparent: None,
        refund: 1,
        restocks: vec![2, 3],
        events: EventNumbers {
            completed: 41,
            data_platform: 42,
            ranking: vec![43, 44],
        },
    };
    command
        .decide(Some(&order), won(0))
        .expect("cancelled")
        .turn
}

/// All of an event but its id and shard, and its value as it is written.
fn told(event: &Event) -> String {
    format!(
        "{} key={} kind={} seq={:?} headers={:?} trace={:?} created={}\n{}",
        event.topic,
        event.key,
        event.kind,
        event.seq,
        event.headers,
        event.traceparent,
        event.created_us,
        String::from_utf8_lossy(&event.payload)
    )
}

fn all(events: &Events, turn: &Turn) -> String {
    let events = FollowUp::ALL.iter().flat_map(|step| events.of(turn, *step));
    let told: Vec<String> = events.map(|event| told(&event)).collect();
    told.join("\n\n")
}

#[test]
fn a_sale() {
    insta::assert_snapshot!(all(&Events::default(), &sale()));
}

#[test]
fn a_cancel() {
    insta::assert_snapshot!(all(&Events::default(), &cancelled()));
}

#[test]
fn a_sale_with_the_jvm_shops_keys_and_rfc_times() {
    let events = Events::new(Settings {
        style: Style {
            times: TimeFormat::Rfc3339,
            keys: KeyStyle::Jvm,
        },
        ..Settings::default()
    });
    insta::assert_snapshot!(all(&events, &sale()));
}

#[test]
fn they_ascend_and_keep_to_their_shards() {
    let events = Events::default();
    let all: Vec<Event> = FollowUp::ALL
        .iter()
        .flat_map(|step| events.of(&sale(), *step))
        .collect();
    assert!(all.is_sorted_by(|a, b| a.id < b.id));
    for event in all {
        assert_eq!(event.shard, messaging::outbox::shard_of(&event.key, 4));
    }
}

#[test]
fn refusals() {
    let name = stocked("Coffee beans", 1, 1, Listing::OnSale).name;
    let (coupon, product) = (super::coupon(7), product(1));
    let refusals = [
        Refusal::ProductNotFound { product },
        Refusal::ProductNotOnSale {
            product,
            name: name.clone(),
            listing: Listing::Stopped,
        },
        Refusal::OutOfStock {
            product,
            name,
            asked: 5,
            left: 2,
        },
        Refusal::TotalTooLarge,
        Refusal::CouponNotFound { coupon },
        Refusal::CouponAlreadyUsed { coupon },
        Refusal::CouponExpired {
            coupon,
            expired_at: at("2026-11-22T00:00:00Z"),
        },
        Refusal::CouponMinimumNotReached {
            total: won(9_000),
            minimum: won(10_000),
        },
        Refusal::CouponExceedsTotal {
            total: won(900),
            discount: won(1_000),
        },
        Refusal::InsufficientBalance {
            balance: won(100),
            due: won(12_000),
        },
    ];
    let order = sale().order.id;
    let cancels = [
        cancel::Refusal::NotFound { order },
        cancel::Refusal::AlreadyCancelled { order },
        cancel::Refusal::BalanceLimit { balance: won(5) },
    ];
    let problems = refusals.iter().map(Refusal::problem);
    let problems: Vec<_> = problems
        .chain(cancels.iter().map(cancel::Refusal::problem))
        .collect();
    insta::assert_json_snapshot!(problems);
}
