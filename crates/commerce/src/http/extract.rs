//! From a request to a checked value: JSON bodies, path ids, queries. What does not fit is a problem with a pointer to the field.
//! Handlers take these as arguments and see only valid input.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Caller, Gate, Problem, idempotency};
use crate::answer::Claim;

/// A request that changes state: who, what, and under which Idempotency-Key. `T` is the JSON body.
pub struct Command<T> {
    pub caller: Caller,
    pub value: T,
    pub claim: Option<Claim>,
}

/// For `Command`: a route whose body carries nothing. Any body (old clients send `{}`) is read and ignored.
#[derive(Debug)]
pub struct NoBody;

/// How a body becomes a value.
pub trait Body: Sized {
    /// # Errors
    /// 400 with a pointer to the field, or 415.
    fn read(parts: &Parts, bytes: &Bytes) -> Result<Self, Problem>;
}

impl Body for NoBody {
    fn read(_: &Parts, _: &Bytes) -> Result<Self, Problem> {
        Ok(Self)
    }
}

impl<T: DeserializeOwned> Body for T {
    fn read(parts: &Parts, bytes: &Bytes) -> Result<Self, Problem> {
        if !is_json(parts) {
            return Err(Problem::new(
                415,
                "unsupported-media-type",
                "send the body as application/json",
            ));
        }
        parse_json(bytes)
    }
}

fn is_json(parts: &Parts) -> bool {
    parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .map(|v| v.trim().to_ascii_lowercase())
        .is_some_and(|v| {
            v == "application/json" || (v.starts_with("application/") && v.ends_with("+json"))
        })
}

/// # Errors
/// 400 `malformed-json` where it is not JSON, 400 `validation` with a pointer where it is JSON that does not fit.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            Problem::field(pointer, without_position(&inner.to_string()))
        } else {
            malformed(&inner)
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(
        400,
        "malformed-json",
        format!("the body is not JSON: {error}"),
    )
}

/// serde's " at line 1 column 7" says less than the pointer.
fn without_position(text: &str) -> String {
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

impl<S: Send + Sync, T: Body> FromRequest<S> for Command<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let Some(gate) = parts.extensions.get::<Arc<Gate>>().cloned() else {
            return Err(Problem::internal());
        };
        let too_large = || {
            Problem::new(
                413,
                "payload-too-large",
                format!("the body may hold {} bytes at most", gate.body_max_bytes),
            )
        };
        let announced = parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse::<usize>().ok());
        if announced.is_some_and(|length| length > gate.body_max_bytes) {
            return Err(too_large());
        }
        let bytes = to_bytes(body, gate.body_max_bytes)
            .await
            .map_err(|_| too_large())?;
        let value = T::read(&parts, &bytes)?;
        let claim = idempotency::claim(&gate, &caller, &parts, &bytes)?;
        Ok(Self {
            caller,
            value,
            claim,
        })
    }
}

/// An id in the path (the route's only one, or the last).
pub struct PathOf<T>(pub T);

impl<S, T> FromRequestParts<S> for PathOf<T>
where
    S: Send + Sync,
    T: std::str::FromStr<Err = String>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::field("{id}", e.to_string()))?;
        text.parse()
            .map(Self)
            .map_err(|detail| Problem::field("{id}", detail))
    }
}

/// The query, each field by its type.
pub struct QueryOf<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let read = serde_urlencoded::Deserializer::new(form_urlencoded(query));
        serde_path_to_error::deserialize(read)
            .map(Self)
            .map_err(|error| {
                let name = error.path().to_string();
                Problem::field(format!("?{name}"), error.into_inner().to_string())
            })
    }
}

fn form_urlencoded(query: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.as_bytes())
}
