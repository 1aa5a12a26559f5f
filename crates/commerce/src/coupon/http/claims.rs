//! Claiming a coupon, the standing of a claim, and the coupons held, over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::refusal::status_url;
use super::super::{Claimed, Coupons, Held, Standing};
use super::problem;
use crate::http::{Caller, PathOf, Problem};
use crate::ids::{CouponId, UserCouponId, UserId};

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ClaimStatus {
    Queued,
    /// The campaign issues directly.
    Success,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CouponClaim)]
pub(super) struct ClaimView {
    status: ClaimStatus,
    message: String,
    /// The place in the queue, from 1; it never changes. The first `totalQuantity` places win.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_position: Option<i64>,
    /// The highest place given so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_coupon_id: Option<UserCouponId>,
    status_url: String,
}

impl ClaimView {
    fn of(coupon: CouponId, user: UserId, claimed: Claimed) -> (StatusCode, Self) {
        let status_url = status_url(coupon, user);
        match claimed {
            Claimed::Queued(place) => {
                let view = Self {
                    status: ClaimStatus::Queued,
                    message: format!("waiting at place {}", place.position()),
                    queue_position: Some(place.position()),
                    queue_size: Some(place.size()),
                    user_coupon_id: None,
                    status_url,
                };
                (StatusCode::ACCEPTED, view)
            }
            Claimed::Issued(id) => {
                let view = Self {
                    status: ClaimStatus::Success,
                    message: "the coupon has been issued".into(),
                    queue_position: None,
                    queue_size: None,
                    user_coupon_id: Some(id),
                    status_url,
                };
                (StatusCode::CREATED, view)
            }
        }
    }
}

/// Claim a coupon: join its first-come queue
///
/// A body is not needed and not read. Repeating it is safe: it tells the place that the user has. A campaign that issues
/// directly (`coupon.issue = direct` when it was created) answers 201 with the coupon instead.
#[utoipa::path(
    post,
    path = "/api/coupons/{id}/issue",
    tag = "coupons",
    params(
        ("id" = CouponId, Path),
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
    ),
    responses(
        (status = 202, description = "Waiting in the queue", body = ClaimView),
        (status = 201, description = "Issued directly", body = ClaimView),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`coupon-not-found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`coupon-already-queued` (with queuePosition and statusUrl), `coupon-already-issued`, `coupon-sold-out`, `coupon-not-open`, `coupon-ended`, `coupon-paused`, `coupon-closed`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn issue(
    State(coupons): State<Arc<Coupons>>,
    caller: Caller,
    PathOf(id): PathOf<CouponId>,
) -> Result<(StatusCode, Json<ClaimView>), Problem> {
    let user = caller.user(None)?;
    let claimed = coupons.claim(id, user).await.map_err(|e| problem(e, id))?;
    let (status, view) = ClaimView::of(id, user, claimed);
    Ok((status, Json(view)))
}

/// Where a claim stands
#[utoipa::path(
    get,
    path = "/api/coupons/{id}/issue/status",
    tag = "coupons",
    params(
        ("id" = CouponId, Path),
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
    ),
    responses(
        (status = 200, description = "The standing", body = Standing),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`coupon-not-found`, `coupon-not-joined`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn status(
    State(coupons): State<Arc<Coupons>>,
    caller: Caller,
    PathOf(id): PathOf<CouponId>,
) -> Result<Json<Standing>, Problem> {
    let user = caller.user(None)?;
    let standing = coupons.standing(id, user).await;
    standing.map(Json).map_err(|e| problem(e, id))
}

/// The coupons a user holds, newest first
#[utoipa::path(
    get,
    path = "/api/users/coupons",
    tag = "coupons",
    params(("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another.")),
    responses(
        (status = 200, description = "The coupons held, at most 1,000", body = Vec<Held>),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn held(
    State(coupons): State<Arc<Coupons>>,
    caller: Caller,
) -> Result<Json<Vec<Held>>, Problem> {
    let user = caller.user(None)?;
    Ok(Json(coupons.held_by(user).await?))
}

/// The coupons a user holds, newest first (the path of old clients)
#[utoipa::path(
    get,
    path = "/api/coupons/users/{userId}",
    tag = "coupons",
    params(("userId" = UserId, Path, description = "The caller's own; an operator may name another.")),
    responses(
        (status = 200, description = "The coupons held, at most 1,000", body = Vec<Held>),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn held_by_user(
    State(coupons): State<Arc<Coupons>>,
    caller: Caller,
    PathOf(user): PathOf<UserId>,
) -> Result<Json<Vec<Held>>, Problem> {
    let user = caller.user(Some(user))?;
    Ok(Json(coupons.held_by(user).await?))
}
