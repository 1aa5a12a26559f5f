//! The requests that scenarios send: orders, joins, status polls, reads.
//! It knows paths and bodies, not how fast they go or what must come of them.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::load::{Kind, Next, Request};
use crate::stage::Seed;

/// So much that neither stock nor money runs out within a run.
pub const PLENTY: u64 = 1_000_000_000;
pub const PRICE: u64 = 1_000;
/// No shop is seeded with so many products.
const NO_PRODUCT: u64 = 1_000_000_000;

pub const ORDER: Kind = Kind {
    name: "orders",
    method: "POST",
    route: "/api/orders",
    expected: &[201],
};
/// For products that do not exist, and of users without money.
pub const REFUSED: Kind = Kind {
    name: "refused orders",
    method: "POST",
    route: "/api/orders",
    expected: &[404, 409],
};
pub const JOIN: Kind = Kind {
    name: "joins",
    method: "POST",
    route: "/api/coupons/{id}/issue",
    // 201: a shop that issues at once.
    expected: &[201, 202],
};
pub const POLL: Kind = Kind {
    name: "status polls",
    method: "GET",
    route: "/api/coupons/{id}/issue/status",
    expected: &[200],
};
pub const PRODUCT: Kind = Kind {
    name: "product pages",
    method: "GET",
    route: "/api/products/{id}",
    expected: &[200],
};
pub const POPULAR: Kind = Kind {
    name: "popular lists",
    method: "GET",
    route: "/api/products/popular",
    expected: &[200],
};

/// What orders look like.
#[derive(Clone, Copy)]
pub struct Orders {
    pub users: u64,
    pub products: u64,
    pub lines: u64,
    pub one_product: bool,
    pub keys: bool,
    pub refused_percent: u8,
}

impl Orders {
    pub fn plain(users: u64, products: u64) -> Orders {
        Orders {
            users,
            products,
            lines: 1,
            one_product: false,
            keys: false,
            refused_percent: 0,
        }
    }

    pub fn seed(&self) -> Seed {
        Seed {
            users: self.users,
            products: self.products,
            stock: PLENTY,
            price: PRICE,
            balance: PLENTY * 1_000,
            coupons: 0,
            quota: 1,
        }
    }

    pub fn name(&self) -> String {
        let products = if self.one_product {
            "one product".to_owned()
        } else {
            format!("{} products", self.products)
        };
        let mut name = format!("orders, {} line(s), {products}", self.lines);
        if self.keys {
            name.push_str(", with keys");
        }
        if self.refused_percent > 0 {
            name.push_str(&format!(", {} % to be refused", self.refused_percent));
        }
        name
    }

    /// Kind 0: an order that is placed, kind 1: one that is refused.
    pub fn next(self) -> Next {
        let serial = AtomicU64::new(fastrand::u64(..u64::MAX / 2));
        Arc::new(move |request| {
            let refused = self.refused_percent > 0 && fastrand::u8(..100) < self.refused_percent;
            self.write(request, &serial, refused);
            usize::from(refused)
        })
    }

    pub fn write(&self, request: &mut Request, serial: &AtomicU64, refused: bool) {
        let mut user = fastrand::u64(1..=self.users);
        let mut first = if self.one_product {
            1
        } else {
            fastrand::u64(1..=self.products)
        };
        let poor = refused && fastrand::bool();
        if poor {
            // Nobody who was seeded: a wallet opens empty.
            user += self.users;
        } else if refused {
            first = NO_PRODUCT;
        }
        let key = self.keys.then(|| {
            let number = serial.fetch_add(1, Ordering::Relaxed);
            format!("bench-{number}")
        });
        request.post("/api/orders", key, |body| {
            let told = write!(body, r#"{{"userId":{user},"orderItems":["#);
            debug_assert!(told.is_ok(), "a String takes whatever is written to it");
            for line in 0..self.lines {
                let product = match first {
                    NO_PRODUCT => NO_PRODUCT + line,
                    _ => (first - 1 + line) % self.products + 1,
                };
                let comma = if line > 0 { "," } else { "" };
                let told = write!(body, r#"{comma}{{"productId":{product},"quantity":1}}"#);
                debug_assert!(told.is_ok(), "a String takes whatever is written to it");
            }
            body.push_str("]}");
        });
    }
}

/// Joins of one campaign, every user once, from number `user` on.
pub fn joins(coupon: u64, user: Arc<AtomicU64>) -> Next {
    Arc::new(move |request| {
        join(request, coupon, user.fetch_add(1, Ordering::Relaxed));
        0
    })
}

pub fn join(request: &mut Request, coupon: u64, user: u64) {
    let path = format_args!("/api/coupons/{coupon}/issue?userId={user}");
    request.post(path, None::<u64>, |_| {});
}

pub fn poll(request: &mut Request, coupon: u64, user: u64) {
    request.get(format_args!(
        "/api/coupons/{coupon}/issue/status?userId={user}"
    ));
}

pub fn stream(request: &mut Request, coupon: u64, user: u64) {
    request.get(format_args!(
        "/api/coupons/{coupon}/issue/stream?userId={user}"
    ));
}

pub fn product(request: &mut Request, products: u64) {
    let id = fastrand::u64(1..=products);
    request.get(format_args!("/api/products/{id}"));
}

pub fn popular(request: &mut Request) {
    request.get("/api/products/popular?window=3d&limit=5");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(orders: Orders, refused: bool) -> serde_json::Value {
        let mut request = Request::default();
        orders.write(&mut request, &AtomicU64::new(1), refused);
        let text = String::from_utf8(request.bytes().to_vec()).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn lines_are_of_different_products_that_exist() {
        let orders = Orders {
            lines: 3,
            ..Orders::plain(10, 3)
        };
        let items = body(orders, false)["orderItems"].clone();
        let mut ids: Vec<u64> = items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["productId"].as_u64().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3]);
    }

    #[test]
    fn what_is_to_be_refused_has_no_product_or_no_money() {
        let orders = Orders::plain(10, 3);
        let (mut poor, mut missing) = (0, 0);
        for _ in 0..100 {
            let body = body(orders, true);
            poor += u32::from(body["userId"].as_u64() > Some(10));
            missing += u32::from(body["orderItems"][0]["productId"].as_u64() > Some(3));
        }
        assert_eq!(poor + missing, 100);
        assert!(poor > 0 && missing > 0);
    }
}
