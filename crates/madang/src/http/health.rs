//! What every process answers whatever its roles: is it alive, is it ready, its metrics.
//! Readiness is judged in `readiness`; here it becomes an answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::edge::Edge;
use crate::readiness::{Readiness, Report};

#[derive(Clone)]
pub struct Health {
    pub readiness: Arc<Readiness>,
    pub edge: Arc<Edge>,
    pub metrics: PrometheusHandle,
}

#[derive(Serialize, ToSchema)]
struct Alive {
    #[schema(example = "alive")]
    status: &'static str,
    version: &'static str,
}

pub fn router(health: Health) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(prometheus))
        .with_state(health)
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, description = "Alive", body = Alive)))]
async fn healthz() -> Json<Alive> {
    Json(Alive {
        status: "alive",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether the process can do its work, with the state of each dependency.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, description = "Ready", body = Report),
    (status = 503, description = "Not ready: a dependency is away", body = Report),
))]
async fn readyz(State(health): State<Health>) -> Response {
    let report = health.readiness.report();
    let status = if report.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "health", security(()), responses((status = 200, description = "Prometheus text format", body = String, content_type = "text/plain")))]
async fn prometheus(State(health): State<Health>) -> Response {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    metrics::gauge!("madang_http_requests_in_hand").set(health.edge.in_hand() as f64);
    ([(header::CONTENT_TYPE, TEXT)], health.metrics.render()).into_response()
}
