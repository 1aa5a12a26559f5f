//! The routes of orders: place, show, list, cancel. Mounted by the binary.

mod refusals;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Cancellation, Decision, Error, Line, Lines, Order, Orders, cancel};
use crate::answer::{Answer, Answered};
use crate::http::extract::{NoBody, TraceOf};
use crate::http::{Caller, Command, PathOf, Problem, QueryOf};
use crate::ids::{OrderId, UserCouponId, UserId};
use crate::page::{Page, PageQuery};

pub fn router(orders: Arc<Orders>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(place))
        .routes(routes!(show))
        .routes(routes!(list))
        .routes(routes!(cancel_order))
        .with_state(orders)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderRequest, example = json!({"orderItems": [{"productId": 1, "quantity": 2}]}))]
struct PlaceBody {
    /// The caller's own; an operator may name another.
    user_id: Option<UserId>,
    /// The same product may be in several.
    #[schema(value_type = Vec<Line>, min_items = 1, max_items = 100)]
    order_items: Lines,
    user_coupon_id: Option<UserCouponId>,
}

/// How a decision is told, and told again.
pub(super) fn place_answer(decision: &Decision) -> Answer {
    match decision {
        Ok(placement) => {
            let order = &placement.turn.order;
            Answer {
                status: 201,
                location: Some(format!("/api/orders/{}", order.id)),
                body: body(order),
            }
        }
        Err(refusal) => refusal.problem().to_answer(),
    }
}

/// How a cancel is told, and told again.
pub(super) fn cancel_answer(outcome: &Result<Cancellation, cancel::Refusal>) -> Answer {
    match outcome {
        Ok(cancellation) => Answer {
            status: 200,
            location: None,
            body: body(&cancellation.turn.order),
        },
        Err(refusal) => refusal.problem().to_answer(),
    }
}

fn body(order: &Order) -> Bytes {
    // A struct of strings and numbers always serializes.
    Bytes::from(serde_json::to_vec(order).unwrap_or_default())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Overloaded => Self::new(
                503,
                "overloaded",
                "too many orders are waiting just now; try again shortly",
            )
            .retry_after(1),
            full @ Error::BacklogFull => {
                Self::new(503, "overloaded", full.to_string()).retry_after(5)
            }
            // The batch has logged it.
            Error::Store(error) => Self::of_store(&error),
        }
    }
}

/// Place an order
#[utoipa::path(
    post,
    path = "/api/orders",
    tag = "orders",
    params(
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the same answer."),
    ),
    request_body = PlaceBody,
    responses(
        (status = 201, description = "Placed and paid", body = Order, headers(("Location" = String, description = "The order's address"))),
        (status = 400, description = "`validation`, `malformed-json`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`product-not-found`, `coupon-not-found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`product-not-on-sale`, `out-of-stock`, `total-too-large`, `coupon-already-used`, `coupon-expired`, `coupon-minimum-not-reached`, `coupon-exceeds-total`, `insufficient-balance`, `idempotency-in-flight`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`payload-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `unavailable`, `outcome-unknown`, `data-platform-failed`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn place(
    State(orders): State<Arc<Orders>>,
    TraceOf(trace): TraceOf,
    command: Command<PlaceBody>,
) -> Result<Answered, Problem> {
    let body = command.value;
    let user = command.caller.user(body.user_id)?;
    let placed = orders.place(
        user,
        body.order_items,
        body.user_coupon_id,
        trace,
        command.claim,
    );
    Ok(placed.await?)
}

/// One order
#[utoipa::path(
    get,
    path = "/api/orders/{id}",
    tag = "orders",
    params(
        ("id" = OrderId, Path, description = "The order"),
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
    ),
    responses(
        (status = 200, description = "The order", body = Order),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`order-not-found`: nobody's, or somebody else's", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(
    State(orders): State<Arc<Orders>>,
    caller: Caller,
    PathOf(id): PathOf<OrderId>,
) -> Result<Json<Order>, Problem> {
    let owner = owner(&caller)?;
    let order = orders.find(id).await?;
    order
        .filter(|order| owner.is_none_or(|owner| owner == order.user_id))
        .map(Json)
        .ok_or_else(|| cancel::Refusal::NotFound { order: id }.problem())
}

/// Whose orders the caller may touch; `None`: everybody's.
fn owner(caller: &Caller) -> Result<Option<UserId>, Problem> {
    let user = caller.user(None)?;
    Ok((!caller.acts_for_all()).then_some(user))
}

/// The caller's orders, newest first
#[utoipa::path(
    get,
    path = "/api/users/orders",
    tag = "orders",
    params(
        PageQuery,
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
    ),
    responses(
        (status = 200, description = "A page of orders", body = Page<Order>),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(orders): State<Arc<Orders>>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<Page<Order>>, Problem> {
    let user = caller.user(None)?;
    let page = query
        .check()
        .map_err(|(name, detail)| Problem::field(format!("?{name}"), detail))?;
    Ok(Json(orders.page(user, page).await?))
}

/// Take an order back
#[utoipa::path(
    post,
    path = "/api/orders/{id}/cancel",
    tag = "orders",
    params(
        ("id" = OrderId, Path, description = "The order"),
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the same answer."),
    ),
    responses(
        (status = 200, description = "Cancelled: stock, coupon and money have come back", body = Order),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`order-not-found`: nobody's, or somebody else's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`order-already-cancelled`, `balance-limit`, `idempotency-in-flight`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`payload-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `outcome-unknown`, `data-platform-failed`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn cancel_order(
    State(orders): State<Arc<Orders>>,
    TraceOf(trace): TraceOf,
    PathOf(id): PathOf<OrderId>,
    command: Command<NoBody>,
) -> Result<Answered, Problem> {
    let owner = owner(&command.caller)?;
    let cancelled = orders.cancel(id, owner, trace, command.claim.as_ref());
    Ok(cancelled.await?)
}
