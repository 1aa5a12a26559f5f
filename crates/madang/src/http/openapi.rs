//! The API's description: what the features' routers say of themselves, with what is true of all routes added once.
//! OpenAPI 3.1 at /openapi.json, its browser at /docs. `app` calls it.

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use commerce::http::Problem;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Madang",
        description = "An event-driven shop: catalogue, wallet, orders, first-come coupons, rankings.\n\n\
            Errors are RFC 9457 problem documents with a stable `code`. Money is an integer in the currency's minor unit; times are RFC 3339 UTC.\n\n\
            With `auth.mode = off` no token is needed and `userId` in query or body says who is calling.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
pub struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "`sub` is the user id; `scope` holds `customer` or `operator`",
            ))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Adds to each route below /api the problems and headers that all of them share, and gives every operation an id of its own.
pub fn complete(openapi: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut openapi.paths.paths {
        let shop = path.starts_with("/api/");
        for operation in [&mut item.get, &mut item.post, &mut item.patch]
            .into_iter()
            .flatten()
        {
            name_operation(operation);
            if shop {
                name_media_type(operation);
                add_shared_problems(operation);
            }
        }
        if !shop {
            continue;
        }
        let joins = path.ends_with("/issue");
        for operation in [&mut item.post, &mut item.patch].into_iter().flatten() {
            if !joins {
                add_idempotency(operation);
            }
        }
    }
}

/// `orders_show`: handlers of two features may have one name, operations may not.
fn name_operation(operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first());
    if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}_{name}"));
    }
}

/// Every refusal is a problem document, whatever the route's own words default to.
fn name_media_type(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if !(status.starts_with('4') || status.starts_with('5')) {
            continue;
        }
        if let RefOr::T(response) = response
            && let Some(content) = response.content.shift_remove("application/json")
        {
            let media = commerce::http::problem::MEDIA_TYPE.to_owned();
            response.content.insert(media, content);
        }
    }
}

fn add_shared_problems(operation: &mut Operation) {
    let callers = [
        ("401", "No valid bearer token"),
        ("403", "Not the caller's own, or the scope is missing"),
    ];
    // A route that names a security of its own is open to everybody.
    let callers = match operation.security {
        Some(_) => &callers[..0],
        None => &callers[..],
    };
    let all = [
        (
            "400",
            "Malformed: `validation` with `errors`, or `malformed-json`",
        ),
        ("429", "Too many requests; Retry-After says when"),
        ("500", "A defect"),
        ("503", "A dependency is down; Retry-After says when"),
    ];
    for (status, text) in callers.iter().copied().chain(all) {
        let known = operation.responses.responses.contains_key(status);
        if !known {
            let response = problem(text);
            operation
                .responses
                .responses
                .insert(status.to_owned(), RefOr::T(response));
        }
    }
}

fn problem(description: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content(commerce::http::problem::MEDIA_TYPE, content)
        .build()
}

fn add_idempotency(operation: &mut Operation) {
    const NAME: &str = "Idempotency-Key";
    let parameters = operation.parameters.get_or_insert_default();
    if parameters
        .iter()
        .any(|known| matches!(known, RefOr::T(parameter) if parameter.name == NAME))
    {
        return;
    }
    let header: Parameter = ParameterBuilder::new()
        .name(NAME)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "1 to 255 printable ASCII characters. A repeat with the same key and bytes gets the same answer, with `Idempotent-Replayed: true`.",
        ))
        .schema(Some(Object::with_type(Type::String)))
        .build();
    parameters.push(RefOr::T(header));
    for (status, text) in [
        ("409", "A conflict, or `idempotency-in-flight`"),
        (
            "422",
            "`idempotency-mismatch`: the key was used with another request",
        ),
    ] {
        let entry = operation.responses.responses.entry(status.to_owned());
        entry.or_insert_with(|| RefOr::T(problem(text)));
    }
}

/// /openapi.json and /docs.
pub fn router(openapi: &utoipa::openapi::OpenApi) -> Router {
    let document = Bytes::from(openapi.to_json().unwrap_or_default());
    let serve = move || async move {
        ([(header::CONTENT_TYPE, "application/json")], document).into_response()
    };
    // No description is sent to a validator elsewhere.
    let config = Config::from("/openapi.json").validator_url("none");
    let browser: Router = SwaggerUi::new("/docs").config(config).into();
    Router::new()
        .route("/openapi.json", get(serve))
        .merge(browser.layer(from_fn(told_not_found)))
}

/// The browser answers 404 with nothing in it.
async fn told_not_found(uri: Uri, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return super::app::not_found(uri).await.into_response();
    }
    response
}
