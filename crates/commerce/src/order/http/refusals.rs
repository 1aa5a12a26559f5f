//! Refusals of orders and cancels in the client's words: a stable code, and a detail that names what stood in the way.
//! Nothing is decided here. Called when an answer is rendered.

use crate::http::Problem;
use crate::order::{Refusal, cancel};

impl Refusal {
    /// Stable, for programs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProductNotFound { .. } => "product-not-found",
            Self::ProductNotOnSale { .. } => "product-not-on-sale",
            Self::OutOfStock { .. } => "out-of-stock",
            Self::TotalTooLarge => "total-too-large",
            Self::CouponNotFound { .. } => "coupon-not-found",
            Self::CouponAlreadyUsed { .. } => "coupon-already-used",
            Self::CouponExpired { .. } => "coupon-expired",
            Self::CouponMinimumNotReached { .. } => "coupon-minimum-not-reached",
            Self::CouponExceedsTotal { .. } => "coupon-exceeds-total",
            Self::InsufficientBalance { .. } => "insufficient-balance",
        }
    }

    /// 404 for what is not there, 409 for what is in another state than the order needs.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let status = match self {
            Self::ProductNotFound { .. } | Self::CouponNotFound { .. } => 404,
            _ => 409,
        };
        Problem::new(status, self.code(), self.detail())
    }

    fn detail(&self) -> String {
        match self {
            Self::ProductNotFound { product } => format!("there is no product {product}"),
            Self::ProductNotOnSale {
                product,
                name,
                listing,
            } => format!(
                "product {product} ({}) is not on sale: its status is {}",
                name.as_str(),
                listing.word()
            ),
            Self::OutOfStock {
                product,
                name,
                asked,
                left,
            } => format!(
                "product {product} ({}) has a stock of {left}, less than the {asked} asked for",
                name.as_str()
            ),
            Self::TotalTooLarge => "the order's total is too large".to_owned(),
            Self::CouponNotFound { coupon } => {
                format!("this user holds no coupon {coupon}")
            }
            Self::CouponAlreadyUsed { coupon } => {
                format!("coupon {coupon} has been used in another order")
            }
            Self::CouponExpired { coupon, expired_at } => {
                format!("coupon {coupon} expired at {expired_at}")
            }
            Self::CouponMinimumNotReached { total, minimum } => {
                format!(
                    "the coupon needs an order of at least {minimum}; this one's total is {total}"
                )
            }
            Self::CouponExceedsTotal { total, discount } => {
                format!(
                    "the coupon's discount of {discount} is more than the order's total of {total}"
                )
            }
            Self::InsufficientBalance { balance, due } => {
                format!("the wallet's balance is {balance}, less than the {due} due")
            }
        }
    }
}

impl cancel::Refusal {
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::NotFound { order } => {
                Problem::not_found("order-not-found", format!("there is no order {order}"))
            }
            Self::AlreadyCancelled { order } => Problem::new(
                409,
                "order-already-cancelled",
                format!("order {order} has been cancelled before"),
            ),
            Self::BalanceLimit { balance } => Problem::new(
                409,
                "balance-limit",
                format!("the balance of {balance} has no room for the refund"),
            ),
        }
    }
}
