//! The standing of a claim as Server-Sent Events: one at once, one a change, until the result.
//! It ends at the result or when the client is gone; comments keep it alive meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt};

use super::super::watch::{Seen, Watching};
use super::super::{Coupons, Error, Refusal, Standing};
use super::problem;
use crate::http::{Caller, PathOf, Problem};
use crate::ids::{CouponId, UserId};

/// The standing of a claim as Server-Sent Events
///
/// Events are named `status`; their data is what the status route answers. The stream ends after SUCCESS or FAILED.
#[utoipa::path(
    get,
    path = "/api/coupons/{id}/issue/stream",
    tag = "coupons",
    params(
        ("id" = CouponId, Path),
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
    ),
    responses(
        (status = 200, description = "Events until the result", body = Standing, content_type = "text/event-stream"),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`coupon-not-found`, `coupon-not-joined`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: also when too many streams are open", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream(
    State(coupons): State<Arc<Coupons>>,
    caller: Caller,
    PathOf(id): PathOf<CouponId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let user = caller.user(None)?;
    let first = coupons.standing(id, user).await;
    let first = first.map_err(|e| problem(e, id))?;
    let watching = if first.is_final() {
        None
    } else {
        let watching = coupons.hub.watch(id, user);
        Some(watching.ok_or_else(|| problem(Error::TooManyStreams, id))?)
    };
    let keep_alive = Duration::from_millis(coupons.settings.watch.keep_alive_ms);
    let rest = Rest {
        coupons,
        coupon: id,
        user,
        last: first.clone(),
        watching,
    };
    let events = stream::once(async move { first })
        .chain(stream::unfold(rest, Rest::next))
        .map(|standing| Ok(event(&standing)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(keep_alive)))
}

fn event(standing: &Standing) -> Event {
    // A struct of strings and numbers always serializes.
    let data = serde_json::to_string(standing).unwrap_or_default();
    Event::default().event("status").data(data)
}

/// What is still to come of a stream.
struct Rest {
    coupons: Arc<Coupons>,
    coupon: CouponId,
    user: UserId,
    last: Standing,
    /// `None` after the result.
    watching: Option<Watching>,
}

impl Rest {
    /// The next standing that differs from the last.
    async fn next(mut self) -> Option<(Standing, Self)> {
        loop {
            let watching = self.watching.as_mut()?;
            watching.seen.changed().await.ok()?;
            let seen = watching.seen.borrow_and_update().clone();
            let standing = match seen {
                Seen::Nothing => continue,
                Seen::Standing(standing) => standing,
                Seen::Gone => match self.coupons.store.holding(self.coupon, self.user).await {
                    Ok(Some(id)) => Standing::success(id, None),
                    Ok(None) => Standing::failed(self.coupon, Refusal::QueueRestarted, None),
                    // The client asks again.
                    Err(_) => return None,
                },
            };
            if standing == self.last {
                continue;
            }
            if standing.is_final() {
                self.watching = None;
            }
            self.last = standing.clone();
            return Some((standing, self));
        }
    }
}
