//! The keys of one campaign, all in one slot. `coupon:queue:{id}` may be read by others; the rest is private.
//! Every one of them ends with the time that the campaign's terms give.

use commerce::ids::CouponId;

/// Sorted set of who waits, by sequence.
pub fn queue(coupon: CouponId) -> String {
    format!("coupon:queue:{{{coupon}}}")
}

/// Hash: terms, the last number given, the leader.
pub fn meta(coupon: CouponId) -> String {
    private(coupon, "meta")
}

/// Hash: user to `sequence:joined_us` of everybody with a place.
pub fn members(coupon: CouponId) -> String {
    private(coupon, "members")
}

/// Hash: user to how the place ended. Everybody in it is a member.
pub fn results(coupon: CouponId) -> String {
    private(coupon, "results")
}

/// Sorted set of places handed to a scheduler, by deadline in microseconds.
pub fn leased(coupon: CouponId) -> String {
    private(coupon, "leased")
}

fn private(coupon: CouponId, part: &str) -> String {
    format!("madang:coupon:{{{coupon}}}:{part}")
}

/// Queue, meta, members, results, leased: the order that the scripts know.
pub fn all(coupon: CouponId) -> [String; 5] {
    [
        queue(coupon),
        meta(coupon),
        members(coupon),
        results(coupon),
        leased(coupon),
    ]
}

/// Queue, members, results of an epoch that is being built.
pub fn new(coupon: CouponId, nonce: u64) -> [String; 3] {
    ["queue", "members", "results"]
        .map(|part| format!("madang:coupon:{{{coupon}}}:new:{nonce:016x}:{part}"))
}
