//! The whole router: features merged, health, description, fallbacks, and the layers around them.
//! `serve` hands it to the listener.

use std::any::Any;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Response, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use commerce::http::{Gate, Problem};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::edge::{self, Edge};
use super::health::{self, Health};
use super::{openapi, rate};
use crate::config::Http;
use crate::readiness::Readiness;
use crate::steps;

/// What the router is made of.
pub struct Parts {
    pub edge: Arc<Edge>,
    pub gate: Arc<Gate>,
    pub readiness: Arc<Readiness>,
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// The features' routers; none in a process without the role `api`.
    pub features: Vec<OpenApiRouter>,
}

pub fn app(settings: &Http, parts: Parts) -> Router {
    let mut described = OpenApiRouter::with_openapi(openapi::Description::openapi());
    let serves_api = !parts.features.is_empty();
    for feature in parts.features {
        described = described.merge(feature);
    }
    let (features, mut description) = rate::limit(settings, described)
        .merge(health::router(Health {
            readiness: parts.readiness,
            edge: Arc::clone(&parts.edge),
            metrics: parts.metrics,
        }))
        .split_for_parts();
    openapi::complete(&mut description);
    let mut router = features;
    if serves_api {
        router = router.merge(openapi::router(&description));
    }
    steps::routes(router)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // One after another each would box every request once more.
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(parts.edge, edge::around))
                .layer(CatchPanicLayer::custom(panicked))
                .layer(Extension(parts.gate)),
        )
}

pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::new(
        404,
        "route-not-found",
        format!("there is nothing at {}", uri.path()),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not possible at {}", uri.path());
    Problem::new(405, "method-not-allowed", detail)
}

/// A defect that unwound: the panic hook has logged it.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    Problem::internal().into_response()
}
