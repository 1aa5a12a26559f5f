//! What an audit must know of each campaign (invariant I2). The store gathers it in one snapshot; `madang audit` tells the differences.

use super::Coupons;
use super::model::{IssueMode, Range};
use crate::answer::StoreError;
use crate::ids::CouponId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFacts {
    pub coupon: CouponId,
    pub issue_mode: IssueMode,
    pub quota: i64,
    /// What the campaign's row counts, and how many rows there are.
    pub issued_counted: i64,
    pub issued_rows: i64,
    /// Users who hold more than one, and the first of them.
    pub users_twice: i64,
    pub users_twice_first: Vec<i64>,
    pub range: Range,
    /// The highest number given out in this epoch, where the queue could say.
    pub last: Option<i64>,
    /// Coupons of this epoch whose number lies outside the winners' range, and the first of these numbers.
    pub outside_range: i64,
    pub outside_range_first: Vec<i64>,
    /// Numbers of the winners' range up to `last` that are neither a coupon nor void, and the first of them.
    pub undecided: i64,
    pub undecided_first: Vec<i64>,
}

impl AuditFacts {
    /// Every difference: what is expected, and what was found. Empty when all is well.
    #[must_use]
    pub fn differences(&self) -> Vec<(String, String)> {
        let Self {
            quota,
            issued_rows,
            issued_counted,
            users_twice,
            outside_range,
            undecided,
            ..
        } = self;
        let judged = [
            (
                issued_rows > quota,
                format!("at most {quota} issued"),
                format!("{issued_rows} issued"),
            ),
            (
                issued_rows != issued_counted,
                format!("{issued_rows} counted as issued"),
                format!("{issued_counted} counted"),
            ),
            (
                *users_twice > 0,
                "one a user".to_owned(),
                format!(
                    "{users_twice} users hold more, first {:?}",
                    self.users_twice_first
                ),
            ),
            (
                *outside_range > 0,
                format!(
                    "numbers from {} to {}",
                    self.range.base + 1,
                    self.range.end()
                ),
                format!(
                    "{outside_range} outside, first {:?}",
                    self.outside_range_first
                ),
            ),
            (
                *undecided > 0,
                "every number given out decided".to_owned(),
                format!("{undecided} undecided, first {:?}", self.undecided_first),
            ),
        ];
        let wrong = judged.into_iter().filter(|(is_wrong, ..)| *is_wrong);
        wrong
            .map(|(_, expected, found)| (expected, found))
            .collect()
    }
}

impl Coupons {
    /// The highest number that the queue has given out of each campaign, for the audit: up to there all must be decided in the end.
    ///
    /// # Errors
    /// Those of the store; where the queue cannot be asked its numbers are left out.
    pub async fn given_out(&self) -> Result<Vec<(CouponId, i64)>, StoreError> {
        let mut last = Vec::new();
        for facts in self.store.audit(&[]).await? {
            if facts.issue_mode == IssueMode::Queue
                && let Ok(Some(standings)) = self.queue.standings(facts.coupon, &[]).await
                && standings.epoch == facts.range.epoch
            {
                last.push((facts.coupon, standings.last));
            }
        }
        Ok(last)
    }

    /// Every campaign against its rows, and against what the queue had given out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit(
        &self,
        given_out: &[(CouponId, i64)],
    ) -> Result<Vec<AuditFacts>, StoreError> {
        self.store.audit(given_out).await
    }
}
