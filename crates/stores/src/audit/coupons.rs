//! I2: no campaign issues past its quota or outside its winners' range, nobody holds one twice, no number is left undecided,
//! and used coupons and orders agree. What each campaign's row says is gathered by the coupon store.

use commerce::coupon::AuditFacts;

use super::probe::Probe;
use super::{Check, Difference, Settings};

pub const PROBES: &[Probe] = &[USED, ORDERS];

pub fn campaigns(facts: &[AuditFacts], settings: &Settings) -> Check {
    let mut check = Check::new("I2", "campaigns");
    check.examined = facts.len() as u64;
    for facts in facts {
        let coupon = facts.coupon;
        for (expected, found) in facts.differences() {
            let difference = Difference {
                subject: format!("coupon {coupon}"),
                expected,
                found,
            };
            check.differ(settings.listed_max, difference);
        }
    }
    check
}

const USED: Probe = Probe {
    invariant: "I2",
    name: "used coupons",
    examined: "SELECT COUNT(*) FROM user_coupons WHERE order_id IS NOT NULL",
    differing: "SELECT h.id AS a, h.user_id AS b, h.order_id AS c, o.user_coupon_id AS d
        FROM user_coupons h LEFT JOIN orders o ON o.id = h.order_id AND o.status = 'COMPLETED'
        WHERE (h.status = 'USED' OR h.order_id IS NOT NULL)
            AND (h.status <> 'USED' OR o.id IS NULL OR o.user_coupon_id IS NULL OR o.user_coupon_id <> h.id OR o.user_id <> h.user_id)",
    subject: "held coupon {a} of user {b}",
    expected: "used, by a completed order {c} of that user that says so",
    found: "not so; that order used coupon {d}",
};

const ORDERS: Probe = Probe {
    invariant: "I2",
    name: "orders with a coupon",
    examined: "SELECT COUNT(*) FROM orders WHERE user_coupon_id IS NOT NULL",
    differing: "SELECT o.id AS a, o.user_coupon_id AS b, h.order_id AS c, h.user_id AS d
        FROM orders o LEFT JOIN user_coupons h ON h.id = o.user_coupon_id
        WHERE o.user_coupon_id IS NOT NULL AND o.status = 'COMPLETED'
            AND (h.id IS NULL OR h.status <> 'USED' OR h.order_id IS NULL OR h.order_id <> o.id)",
    subject: "order {a}",
    expected: "coupon {b} used by it",
    found: "that coupon says order {c}",
};
