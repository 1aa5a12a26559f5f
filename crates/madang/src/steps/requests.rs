//! Requests as steps: before anything of a request is done, and when its answer is about to leave.

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use commerce::http::Problem;
use messaging::failpoint::{self, Injected};

pub fn around(router: Router) -> Router {
    router.layer(from_fn(at_points))
}

fn step(method: &Method, path: &str) -> Option<&'static str> {
    match (method.as_str(), path) {
        ("POST", "/api/orders") => Some("http.order-place"),
        ("POST", "/api/orders/{id}/cancel") => Some("http.order-cancel"),
        ("POST", "/api/users/balance/charge") => Some("http.wallet-charge"),
        ("POST", "/api/coupons/{id}/issue") => Some("http.coupon-join"),
        ("GET", "/api/coupons/{id}/issue/status") => Some("http.coupon-status"),
        _ => None,
    }
}

async fn at_points(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let Some(step) = path.and_then(|path| step(request.method(), path.as_str())) else {
        return next.run(request).await;
    };
    if let Err(injected) = failpoint::before(step).await {
        return unavailable(&injected);
    }
    let answer = next.run(request).await;
    match failpoint::after(step).await {
        Ok(()) => answer,
        Err(injected) => unavailable(&injected),
    }
}

/// As when a gateway in front has lost the answer.
fn unavailable(injected: &Injected) -> Response {
    Problem::unavailable(injected.to_string()).into_response()
}
