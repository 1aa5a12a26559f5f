//! The Idempotency-Key header: from a request to a claim, from an outcome to a response.
//! The record itself is written by the stores, in the effect's transaction.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Caller, Gate, Problem, problem};
use crate::answer::{Answer, Answered, Claim};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The claim of a request, `None` without the header.
///
/// # Errors
/// 400 for a key that is not 1 to 255 printable ASCII characters, 409 while the same key is in flight in this process.
pub(super) fn claim(
    gate: &Gate,
    caller: &Caller,
    parts: &Parts,
    body: &Bytes,
) -> Result<Option<Claim>, Problem> {
    let mut values = parts.headers.get_all(&KEY).into_iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::field("Idempotency-Key", "must be sent once"));
    }
    let key = value.as_bytes();
    if key.is_empty() || key.len() > 255 || !key.iter().all(|b| (0x20..0x7f).contains(b)) {
        return Err(Problem::field(
            "Idempotency-Key",
            "must be 1 to 255 printable ASCII characters",
        ));
    }
    let scope = digest(&[
        caller.scope_name(body).as_bytes(),
        parts.method.as_str().as_bytes(),
        parts.uri.path().as_bytes(),
        key,
    ]);
    let request_hash = digest(&[parts.uri.query().unwrap_or_default().as_bytes(), body]);
    let in_flight = gate.enter(scope).ok_or_else(|| {
        Problem::new(
            409,
            "idempotency-in-flight",
            "a request with this Idempotency-Key is being carried out; ask again shortly",
        )
        .retry_after(1)
    })?;
    Ok(Some(Claim {
        scope,
        request_hash,
        in_flight: Arc::new(in_flight),
    }))
}

/// SHA-256 over the parts, each preceded by its length, so that no two lists of parts look alike.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media = if self.status >= 400 {
            problem::MEDIA_TYPE
        } else {
            "application/json"
        };
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        if let Some(location) = self.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        match self {
            Self::Fresh(answer) => answer.into_response(),
            Self::Replayed(answer) => {
                let mut response = answer.into_response();
                response
                    .headers_mut()
                    .insert(REPLAYED, HeaderValue::from_static("true"));
                response
            }
            Self::Mismatch => Problem::new(
                422,
                "idempotency-mismatch",
                "this Idempotency-Key was used before with another request",
            )
            .into_response(),
        }
    }
}
