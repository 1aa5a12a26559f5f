//! From a request to a checked value: JSON bodies, path ids, queries. What does not fit is a problem with a pointer to the field.
//! Handlers take these as arguments and see only valid input.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, BodyDataStream};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use messaging::envelope::TRACEPARENT;
use serde::de::DeserializeOwned;

use super::{Caller, Gate, Problem, idempotency};
use crate::answer::Claim;
use crate::json::Object;

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
        .and_then(|v| v.trim().split_once('/'))
        .is_some_and(|(kind, of)| {
            let suffix = of.rsplit_once('+').map_or(of, |(_, suffix)| suffix);
            kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
        })
}

/// # Errors
/// 400 `malformed-json` where it is not JSON, 400 `validation` with a pointer where it is JSON that does not fit.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // To keep the path costs some copies a field: it is asked for only where something does not fit.
    serde_json::from_slice::<Object<T>>(bytes)
        .map_or_else(|_| traced_json(bytes), |read| Ok(read.0))
}

fn traced_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read: Object<T> = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            misfit(pointer, without_position(&inner.to_string()))
        } else {
            malformed(&inner)
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(read.0)
}

/// serde tells of a missing or repeated field at the object around it: the pointer names the field itself.
fn misfit(mut pointer: String, detail: &str) -> Problem {
    for (said, told) in [
        ("missing field `", "is missing"),
        ("duplicate field `", "stands there twice"),
    ] {
        if let Some(field) = detail.strip_prefix(said).and_then(|d| d.strip_suffix('`')) {
            pointer.push('/');
            pointer.push_str(field);
            return Problem::field(pointer, told);
        }
    }
    Problem::field(pointer, detail)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(
        400,
        "malformed-json",
        format!("the body is not JSON: {error}"),
    )
}

/// serde's " at line 1 column 7" says less than the pointer.
fn without_position(text: &str) -> &str {
    text.rfind(" at line ").map_or(text, |end| &text[..end])
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
        let bytes = read_body(body, gate.body_max_bytes)
            .await?
            .ok_or_else(too_large)?;
        let value = T::read(&parts, &bytes)?;
        let claim = idempotency::claim(&gate, &caller, &parts, &bytes)?;
        Ok(Self {
            caller,
            value,
            claim,
        })
    }
}

/// How much is read of a body that is too large, and for how long, before it is answered: a client that is still sending when
/// the connection is closed may never see the answer.
const DISCARDED_MAX_BYTES: usize = 8 * 1024 * 1024;
const DISCARD_WITHIN: Duration = Duration::from_secs(1);

/// The body; `None` where it holds more than `max_bytes`.
async fn read_body(body: HttpBody, max_bytes: usize) -> Result<Option<Bytes>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut read = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            let detail = "the body did not arrive whole";
            Problem::new(400, "incomplete-body", detail)
        })?;
        if read.len() + chunk.len() > max_bytes {
            // Whether all of it came in time makes no difference.
            let _ = tokio::time::timeout(DISCARD_WITHIN, discard(chunks)).await;
            return Ok(None);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(Some(read.freeze()))
}

async fn discard(mut chunks: BodyDataStream) {
    let mut seen = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        seen += chunk.len();
        if seen > DISCARDED_MAX_BYTES {
            return;
        }
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

/// The W3C `traceparent` that the request goes on under, for the events that come of it.
pub struct TraceOf(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for TraceOf {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let value = parts.headers.get(TRACEPARENT);
        let text = value.and_then(|value| value.to_str().ok());
        Ok(Self(text.map(ToOwned::to_owned)))
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
