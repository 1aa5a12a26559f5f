//! The route of sales reports, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Report, ReportQuery, Sales};
use crate::http::{Operator, Problem, QueryOf};

pub fn router(sales: Arc<Sales>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(report))
        .with_state(sales)
}

/// Sales by hour, day or product. Counted from events: an order shows a moment after it was placed.
#[utoipa::path(get, path = "/api/stats/sales", tag = "stats", params(ReportQuery), responses(
    (status = 200, description = "The sales", body = Report),
    (status = 400, description = "A time that cannot be read, or a span that is empty or too long", body = Problem),
    (status = 401, description = "No valid token", body = Problem),
    (status = 403, description = "Not an operator", body = Problem),
    (status = 503, description = "The database cannot be reached", body = Problem),
))]
async fn report(
    State(sales): State<Arc<Sales>>,
    _: Operator,
    QueryOf(query): QueryOf<ReportQuery>,
) -> Result<Json<Report>, Problem> {
    let question = sales
        .question(&query)
        .map_err(|(name, detail)| Problem::field(format!("?{name}"), detail))?;
    Ok(Json(sales.report(question).await?))
}
