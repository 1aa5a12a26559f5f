//! The optional limit on requests a second of one client address, answered 429 as a problem.
//! tower_governor's own answer is neither a problem nor right in Retry-After, hence the error handler.
//! `app` adds it when the setting asks for it.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use commerce::http::Problem;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::{GovernorError, GovernorLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::config::Http;

/// Addresses that have been quiet are forgotten this often, so that the table stays small.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Puts the limit around the router's routes, if the settings ask for one. Must be called within a tokio runtime.
pub fn limit(settings: &Http, router: OpenApiRouter) -> OpenApiRouter {
    if settings.rate_per_second == 0 {
        return router;
    }
    let period = Duration::from_secs(1) / settings.rate_per_second;
    let config = GovernorConfigBuilder::default()
        .period(period)
        .burst_size(settings.rate_burst)
        .finish();
    // Absent only for a zero period or burst, which the settings' checks refuse.
    let Some(config) = config else { return router };
    let limiter = config.limiter().clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            limiter.retain_recent();
        }
    });
    router.layer(GovernorLayer::new(config).error_handler(refuse))
}

fn refuse(error: GovernorError) -> Response {
    match error {
        GovernorError::TooManyRequests { wait_time, .. } => {
            // Whole seconds rounded down: one more, or the client comes back too early.
            let seconds = u32::try_from(wait_time)
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            let detail = format!("too many requests; try again in {seconds} s");
            Problem::new(429, "too-many-requests", detail)
                .retry_after(seconds)
                .into_response()
        }
        GovernorError::UnableToExtractKey | GovernorError::Other { .. } => {
            tracing::error!(%error, "the rate limit could not tell the client's address");
            Problem::internal().into_response()
        }
    }
}
