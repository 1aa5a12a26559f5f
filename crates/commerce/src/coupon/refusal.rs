//! Why a claim or a change was refused, and how each is told to clients.
//! Used by the decisions, the stores and the routes of this feature.

use crate::http::Problem;
use crate::ids::{CouponId, UserCouponId, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound,
    NotOpen,
    Ended,
    Paused,
    Closed,
    SoldOut,
    AlreadyIssued(UserCouponId),
    AlreadyQueued {
        user: UserId,
        position: i64,
    },
    NotJoined,
    /// The queue's server lost its data since this user joined.
    QueueRestarted,
    /// So many are issued or hold a place already.
    QuotaTooLow {
        given: i64,
    },
    Window,
}

impl Refusal {
    /// The stable name that programs read.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "coupon-not-found",
            Self::NotOpen => "coupon-not-open",
            Self::Ended => "coupon-ended",
            Self::Paused => "coupon-paused",
            Self::Closed => "coupon-closed",
            Self::SoldOut => "coupon-sold-out",
            Self::AlreadyIssued(_) => "coupon-already-issued",
            Self::AlreadyQueued { .. } => "coupon-already-queued",
            Self::NotJoined => "coupon-not-joined",
            Self::QueueRestarted => "coupon-queue-restarted",
            Self::QuotaTooLow { .. } => "coupon-quota-too-low",
            Self::Window => "coupon-window",
        }
    }

    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NotFound | Self::NotJoined => 404,
            _ => 409,
        }
    }

    /// In words, for a person.
    #[must_use]
    pub fn detail(self, coupon: CouponId) -> String {
        match self {
            Self::NotFound => format!("there is no coupon {coupon}"),
            Self::NotOpen => format!("coupon {coupon} cannot be claimed yet"),
            Self::Ended => format!("coupon {coupon} can no longer be claimed"),
            Self::Paused => format!("coupon {coupon} is paused; try again later"),
            Self::Closed => format!("coupon {coupon} is closed"),
            Self::SoldOut => format!("coupon {coupon} is sold out"),
            Self::AlreadyIssued(held) => {
                format!("coupon {coupon} is held already, as user coupon {held}")
            }
            Self::AlreadyQueued { position, .. } => {
                format!("already waiting for coupon {coupon}, at place {position}")
            }
            Self::NotJoined => format!(
                "this user has no place in the queue of coupon {coupon}; join it (again, if the queue was restarted)"
            ),
            Self::QueueRestarted => format!(
                "the queue of coupon {coupon} was restarted before this place was reached; please join again"
            ),
            Self::QuotaTooLow { given } => format!(
                "coupon {coupon} has {given} coupons issued or places given out; the quota cannot be lower"
            ),
            Self::Window => {
                "validFrom must be before validTo, and expiresAt not before validTo".to_owned()
            }
        }
    }

    #[must_use]
    pub fn problem(self, coupon: CouponId) -> Problem {
        let mut problem = Problem::new(self.status(), self.code(), self.detail(coupon));
        if let Self::AlreadyQueued { user, position } = self {
            problem.queue_position = Some(position);
            problem.status_url = Some(status_url(coupon, user));
        }
        problem
    }
}

/// Where the standing of a join is asked for. It names the user, so that it is whole with authentication off and for operators.
#[must_use]
pub fn status_url(coupon: CouponId, user: UserId) -> String {
    format!("/api/coupons/{coupon}/issue/status?userId={user}")
}
