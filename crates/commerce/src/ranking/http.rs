//! Routes of the best sellers: the list of a window, and one product's place. Open to everybody.
//! Old clients read the list as a bare array. Merged by the binary.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Rankings;
use super::model::{BestSeller, ProductRanking, Window};
use crate::http::{PathOf, Problem, QueryOf};
use crate::ids::ProductId;
use crate::page;

const LIMIT_DEFAULT: u32 = 5;
const LIMIT_MAX: u32 = 100;

pub fn router(rankings: Arc<Rankings>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(popular))
        .routes(routes!(ranking))
        .with_state(rankings)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PopularQuery {
    /// Days that count, today the last: `today`, `3d`, `7d`, `30d`; `3d` when absent.
    window: Option<Window>,
    /// Best sellers at most, 1 to 100; 5 when absent.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RankingQuery {
    /// Days that count, today the last: `today`, `3d`, `7d`, `30d`; `3d` when absent.
    window: Option<Window>,
}

/// Best sellers of a window
#[utoipa::path(
    get,
    path = "/api/products/popular",
    tag = "ranking",
    security(()),
    params(PopularQuery),
    responses(
        (status = 200, description = "Best sellers, best first", body = [BestSeller]),
        (status = 400, description = "`validation`: unknown window, or a limit out of range", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn popular(
    State(rankings): State<Arc<Rankings>>,
    QueryOf(query): QueryOf<PopularQuery>,
) -> Result<Json<Vec<BestSeller>>, Problem> {
    let limit = page::limit(query.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)
        .map_err(|detail| Problem::field("?limit", detail))?;
    let window = query.window.unwrap_or_default();
    Ok(Json(rankings.popular(window, limit as usize).await?))
}

/// Rank and score of one product
#[utoipa::path(
    get,
    path = "/api/products/{id}/ranking",
    tag = "ranking",
    security(()),
    params(("id" = ProductId, Path, description = "Product"), RankingQuery),
    responses(
        (status = 200, description = "Its place in the window", body = ProductRanking),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`product-not-found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ranking(
    State(rankings): State<Arc<Rankings>>,
    PathOf(id): PathOf<ProductId>,
    QueryOf(query): QueryOf<RankingQuery>,
) -> Result<Json<ProductRanking>, Problem> {
    let window = query.window.unwrap_or_default();
    rankings
        .ranking(id, window)
        .await?
        .map(Json)
        .ok_or_else(|| Problem::not_found("product-not-found", format!("there is no product {id}")))
}

#[cfg(test)]
mod tests;
