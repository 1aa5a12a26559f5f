//! The routes by which a test arms points while the process runs. They ask nobody who he is: a build with points serves tests.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use messaging::failpoint::armed;
use serde::Serialize;

#[derive(Serialize)]
struct Hits {
    reached: u64,
    fired: u64,
}

pub fn router() -> Router {
    Router::new()
        .route("/failpoints", get(list))
        .route("/failpoints/{point}", axum::routing::put(arm))
}

async fn list() -> Json<BTreeMap<String, Hits>> {
    let hits = armed::hits().into_iter().map(|(point, hits)| {
        let hits = Hits {
            reached: hits.reached,
            fired: hits.fired,
        };
        (point, hits)
    });
    Json(hits.collect())
}

/// The body is what the point is to do.
async fn arm(
    Path(point): Path<String>,
    actions: String,
) -> Result<StatusCode, (StatusCode, String)> {
    match armed::arm(&point, &actions) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(problem) => Err((StatusCode::BAD_REQUEST, problem)),
    }
}
