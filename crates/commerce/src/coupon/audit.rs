//! What an audit must know of each campaign, and what it makes of it (invariant I2).
//! `madang audit` prints it; the store gathers it in one snapshot.

use crate::ids::CouponId;

use super::model::{IssueMode, Range};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFacts {
    pub coupon: CouponId,
    pub issue_mode: IssueMode,
    pub quota: i64,
    /// What the campaign's row counts, and how many rows there are.
    pub issued_counted: i64,
    pub issued_rows: i64,
    /// Users who hold more than one.
    pub users_twice: i64,
    pub range: Range,
    /// The highest number given out in this epoch, where the queue could say.
    pub last: Option<i64>,
    /// Coupons of this epoch whose number lies outside the winners' range.
    pub outside_range: i64,
    /// Numbers of the winners' range up to `last` that are neither a coupon nor void, and the first of them.
    pub undecided: i64,
    pub undecided_first: Vec<i64>,
}

impl AuditFacts {
    /// Every difference in words; empty when all is well.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        let coupon = self.coupon;
        let mut found = Vec::new();
        if self.issued_rows > self.quota {
            found.push(format!(
                "coupon {coupon}: {} issued, more than the quota of {}",
                self.issued_rows, self.quota
            ));
        }
        if self.issued_rows != self.issued_counted {
            found.push(format!(
                "coupon {coupon}: its row counts {} issued, there are {}",
                self.issued_counted, self.issued_rows
            ));
        }
        if self.users_twice > 0 {
            found.push(format!(
                "coupon {coupon}: {} users hold more than one",
                self.users_twice
            ));
        }
        if self.outside_range > 0 {
            found.push(format!(
                "coupon {coupon}: {} issued outside the winners' range",
                self.outside_range
            ));
        }
        if self.undecided > 0 {
            found.push(format!(
                "coupon {coupon}: {} numbers given out and undecided, first {:?}",
                self.undecided, self.undecided_first
            ));
        }
        found
    }
}
