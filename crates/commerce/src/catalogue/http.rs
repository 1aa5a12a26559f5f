//! The catalogue's routes: lists and products for everyone, commands for operators.
//! Here requests become drafts and outcomes become answers; what may happen is decided in `decide`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Catalogue, Draft, Listing, Product, ProductView, Refusal, Revision, Status};
use crate::amount::{EXACT_MAX, Name, Won};
use crate::answer::{Answer, Answered};
use crate::http::{Command, Operator, PathOf, Problem, QueryOf};
use crate::ids::ProductId;
use crate::json::bounded;
use crate::page::{Page, PageQuery};

pub fn router(catalogue: Arc<Catalogue>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
        .routes(routes!(adjust))
        .with_state(catalogue)
}

/// The catalogue, in order of id. What is shown may be a second old.
#[utoipa::path(get, path = "/api/products", tag = "products", security(()), params(PageQuery), responses(
    (status = 200, description = "A page of products", body = Page<ProductView>),
    (status = 400, description = "A cursor or limit that does not fit", body = Problem),
    (status = 503, description = "The database cannot be reached", body = Problem),
))]
async fn list(
    State(catalogue): State<Arc<Catalogue>>,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Response, Problem> {
    let asked = query
        .check()
        .map_err(|(name, detail)| Problem::field(format!("?{name}"), detail))?;
    let page = catalogue.list(asked).await?;
    Ok(Json(&*page).into_response())
}

/// One product. What is shown may be a second old.
#[utoipa::path(get, path = "/api/products/{id}", tag = "products", security(()), params(("id" = ProductId, Path)), responses(
    (status = 200, description = "The product", body = ProductView),
    (status = 400, description = "Not an id", body = Problem),
    (status = 404, description = "`product-not-found`", body = Problem),
    (status = 503, description = "The database cannot be reached", body = Problem),
))]
async fn show(
    State(catalogue): State<Arc<Catalogue>>,
    PathOf(id): PathOf<ProductId>,
) -> Result<Json<ProductView>, Problem> {
    match catalogue.product(id).await? {
        Some(product) => Ok(Json(product.view())),
        None => Err(problem(&Refusal::NotFound(id))),
    }
}

/// Pieces on hand at the start.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(value_type = i64, minimum = 0, maximum = 9007199254740991_i64, example = 100)]
struct InitialStock(i64);

bounded!(InitialStock);

impl TryFrom<i64> for InitialStock {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        if (0..=EXACT_MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("must be an integer from 0 to {EXACT_MAX}"))
        }
    }
}

/// The state a product can be created in; SOLD_OUT follows from ON_SALE with stock 0.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum InitialStatus {
    Preparing,
    #[default]
    OnSale,
    Stopped,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateProduct {
    name: Name,
    price: Won,
    stock: InitialStock,
    /// ON_SALE when absent.
    #[serde(default)]
    status: InitialStatus,
}

/// Puts a product into the catalogue.
#[utoipa::path(post, path = "/api/products", tag = "products", request_body = CreateProduct, params(
    ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat answer the same"),
), responses(
    (status = 201, description = "The product; Location names it", body = ProductView),
    (status = 400, description = "A field does not fit", body = Problem),
    (status = 401, description = "No valid token", body = Problem),
    (status = 403, description = "Not an operator", body = Problem),
    (status = 409, description = "The same Idempotency-Key is in flight", body = Problem),
    (status = 413, description = "The body is too large", body = Problem),
    (status = 415, description = "The body is not application/json", body = Problem),
    (status = 422, description = "The Idempotency-Key was used with another request", body = Problem),
    (status = 503, description = "The database cannot be reached", body = Problem),
))]
async fn create(
    State(catalogue): State<Arc<Catalogue>>,
    _: Operator,
    command: Command<CreateProduct>,
) -> Result<Answered, Problem> {
    let asked = command.value;
    let draft = Draft {
        name: asked.name,
        price: asked.price,
        stock: asked.stock.0,
        listing: match asked.status {
            InitialStatus::Preparing => Listing::Preparing,
            InitialStatus::OnSale => Listing::OnSale,
            InitialStatus::Stopped => Listing::Stopped,
        },
    };
    let render = |outcome: &Result<Product, Refusal>| created(outcome);
    Ok(catalogue
        .create(draft, command.claim.as_ref(), &render)
        .await?)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"price": 13_000}))]
struct ChangeProduct {
    name: Option<Name>,
    price: Option<Won>,
    /// PREPARING to ON_SALE or STOPPED, and between those two.
    status: Option<Status>,
}

/// Changes a product's name, price or status; what is absent stays.
#[utoipa::path(patch, path = "/api/products/{id}", tag = "products", request_body = ChangeProduct, params(
    ("id" = ProductId, Path),
    ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat answer the same"),
), responses(
    (status = 200, description = "The product as it is now", body = ProductView),
    (status = 400, description = "A field does not fit", body = Problem),
    (status = 401, description = "No valid token", body = Problem),
    (status = 403, description = "Not an operator", body = Problem),
    (status = 404, description = "`product-not-found`", body = Problem),
    (status = 409, description = "`illegal-status-change`, or the same Idempotency-Key is in flight", body = Problem),
    (status = 413, description = "The body is too large", body = Problem),
    (status = 415, description = "The body is not application/json", body = Problem),
    (status = 422, description = "The Idempotency-Key was used with another request", body = Problem),
    (status = 503, description = "The database cannot be reached", body = Problem),
))]
async fn change(
    State(catalogue): State<Arc<Catalogue>>,
    _: Operator,
    PathOf(id): PathOf<ProductId>,
    command: Command<ChangeProduct>,
) -> Result<Answered, Problem> {
    let revision = Revision {
        name: command.value.name,
        price: command.value.price,
        status: command.value.status,
    };
    let render = |outcome: &Result<Product, Refusal>| changed(outcome);
    Ok(catalogue
        .change(id, revision, command.claim.as_ref(), &render)
        .await?)
}

const DELTA_MAX: i64 = 1_000_000_000;

/// How many pieces came (positive) or went (negative).
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(value_type = i64, minimum = -1000000000, maximum = 1000000000, example = 50)]
struct Delta(i64);

bounded!(Delta);

impl TryFrom<i64> for Delta {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        if value != 0 && (-DELTA_MAX..=DELTA_MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!(
                "must be an integer from -{DELTA_MAX} to {DELTA_MAX}, not 0"
            ))
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AdjustStock {
    delta: Delta,
}

/// Adds pieces to a product's stock, or takes them away; orders placed meanwhile are never lost.
#[utoipa::path(post, path = "/api/products/{id}/stock", tag = "products", request_body = AdjustStock, params(
    ("id" = ProductId, Path),
    ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat answer the same"),
), responses(
    (status = 200, description = "The product with its stock as it is now", body = ProductView),
    (status = 400, description = "A field does not fit", body = Problem),
    (status = 401, description = "No valid token", body = Problem),
    (status = 403, description = "Not an operator", body = Problem),
    (status = 404, description = "`product-not-found`", body = Problem),
    (status = 409, description = "`out-of-stock`, `stock-too-large`, or the same Idempotency-Key is in flight", body = Problem),
    (status = 413, description = "The body is too large", body = Problem),
    (status = 415, description = "The body is not application/json", body = Problem),
    (status = 422, description = "The Idempotency-Key was used with another request", body = Problem),
    (status = 503, description = "The database cannot be reached", body = Problem),
))]
async fn adjust(
    State(catalogue): State<Arc<Catalogue>>,
    _: Operator,
    PathOf(id): PathOf<ProductId>,
    command: Command<AdjustStock>,
) -> Result<Answered, Problem> {
    let render = |outcome: &Result<Product, Refusal>| changed(outcome);
    Ok(catalogue
        .adjust(id, command.value.delta.0, command.claim.as_ref(), &render)
        .await?)
}

/// A refusal as clients see it.
#[must_use]
pub fn problem(refusal: &Refusal) -> Problem {
    let (status, code) = match refusal {
        Refusal::NotFound(_) => (404, "product-not-found"),
        Refusal::IllegalStatus { .. } => (409, "illegal-status-change"),
        Refusal::OutOfStock { .. } => (409, "out-of-stock"),
        Refusal::StockTooLarge { .. } => (409, "stock-too-large"),
    };
    Problem::new(status, code, refusal.to_string())
}

fn created(outcome: &Result<Product, Refusal>) -> Answer {
    let mut answer = changed(outcome);
    if let Ok(product) = outcome {
        answer.status = 201;
        answer.location = Some(format!("/api/products/{}", product.id));
    }
    answer
}

fn changed(outcome: &Result<Product, Refusal>) -> Answer {
    match outcome {
        Ok(product) => Answer {
            status: 200,
            location: None,
            // A struct of strings and numbers always serializes.
            body: Bytes::from(serde_json::to_vec(&product.view()).unwrap_or_default()),
        },
        Err(refusal) => problem(refusal).to_answer(),
    }
}

#[cfg(test)]
mod tests;
