//! Tests of orders without a database: decisions against a model, events and problems as written, batches on a store
//! that a test plays. Routes are tested in `http`; what the real stores keep, with them.

mod batches;
mod events;
mod model;
pub(super) mod played;

use jiff::Timestamp;

use super::model::{EventNumbers, Line, Lines, Numbers, Pending, PlaceOrder};
use crate::amount::{Name, Quantity, Won};
use crate::catalogue::Listing;
use crate::ids::{LineId, OrderId, ProductId, UserCouponId, UserId};
use crate::order::Stocked;

fn user(id: i64) -> UserId {
    UserId::try_from(id).unwrap()
}

fn product(id: i64) -> ProductId {
    ProductId::try_from(id).unwrap()
}

fn coupon(id: i64) -> UserCouponId {
    UserCouponId::try_from(id).unwrap()
}

fn won(amount: i64) -> Won {
    Won::try_from(amount).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn lines(lines: &[(i64, i64)]) -> Lines {
    let lines = lines.iter().map(|(id, quantity)| Line {
        product_id: product(*id),
        quantity: Quantity::try_from(*quantity).unwrap(),
    });
    Lines::try_from(lines.collect::<Vec<_>>()).unwrap()
}

/// Order number `order`; all its other numbers follow from that.
fn pending(order: i64, by: i64, asked: &[(i64, i64)], with: Option<i64>) -> Pending {
    let lines = lines(asked);
    let line_ids = 1..=asked.len() as i64;
    let products = 1..=lines.products().len() as i64;
    Pending {
        place: PlaceOrder {
            user: user(by),
            lines,
            coupon: with.map(coupon),
            at: at("2026-11-22T14:15:01.123456Z"),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        },
        numbers: Numbers {
            order: OrderId::try_from(order).unwrap(),
            lines: line_ids
                .map(|n| LineId::try_from(order * 1_000 + n).unwrap())
                .collect(),
            payment: order * 10,
            events: EventNumbers {
                completed: order * 10 + 1,
                data_platform: order * 10 + 2,
                ranking: products.map(|n| order * 1_000 + 500 + n).collect(),
            },
        },
        claim: None,
    }
}

fn stocked(name: &str, price: i64, stock: i64, listing: Listing) -> Stocked {
    Stocked {
        name: Name::try_from(name.to_owned()).unwrap(),
        price: won(price),
        stock,
        listing,
    }
}
