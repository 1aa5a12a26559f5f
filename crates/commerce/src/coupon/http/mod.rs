//! The coupons' routes. Mounted by the binary.

mod campaigns;
mod claims;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Coupons, Error, queue};
use crate::http::Problem;
use crate::ids::CouponId;

pub use campaigns::{CouponView, Draft};
pub(super) use campaigns::{changed_answer, created_answer};

pub fn router(coupons: Arc<Coupons>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(campaigns::list, campaigns::create))
        .routes(routes!(campaigns::show, campaigns::patch))
        .routes(routes!(campaigns::pause))
        .routes(routes!(campaigns::resume))
        .routes(routes!(campaigns::close))
        .routes(routes!(claims::issue))
        .routes(routes!(claims::status))
        .routes(routes!(stream::stream))
        .routes(routes!(claims::held))
        .routes(routes!(claims::held_by_user))
        .with_state(coupons)
}

/// Logs what the client is not told.
fn problem(error: Error, coupon: CouponId) -> Problem {
    match error {
        Error::Refused(refusal) => refusal.problem(coupon),
        Error::Store(error) => error.into(),
        Error::Recovering | Error::Queue(queue::Error::Different) => {
            Problem::unavailable("the coupon queue is being made ready; try again shortly")
        }
        Error::Queue(error @ queue::Error::Unavailable(_)) => {
            tracing::warn!(%error, "the coupon queue is unavailable");
            Problem::unavailable("the coupon queue is not reachable just now; try again shortly")
        }
        Error::Queue(queue::Error::Failed(cause)) => {
            tracing::error!(%cause, "the coupon queue failed");
            Problem::internal()
        }
        Error::TooManyStreams => {
            Problem::unavailable("too many event streams are open; ask the status route instead")
        }
    }
}
