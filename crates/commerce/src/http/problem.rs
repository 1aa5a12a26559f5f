//! Errors as clients see them: RFC 9457 problem documents with a stable code, never a stack trace, never an empty body.
//! Features turn their refusals into these; `message` repeats `detail` for clients of the shop before this one.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{Answer, StoreError};

pub const MEDIA_TYPE: &str = "application/problem+json";

/// One field that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body (`/orderItems/0/quantity`), or `?name` for a query parameter, or `{name}` for a path segment.
    pub pointer: String,
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// Stable name for programs, such as `out-of-stock`.
    pub code: String,
    pub detail: String,
    /// The same as `detail`.
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Where it makes sense: the place in a queue, the address to ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_url: Option<String>,
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem with a stable `code`; `detail` says to a person what is wrong and what would be right.
    #[must_use]
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let title = StatusCode::from_u16(status)
            .ok()
            .and_then(|s| s.canonical_reason())
            .unwrap_or("Error");
        Self {
            kind: format!("urn:madang:problem:{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            message: detail.clone(),
            detail,
            errors: Vec::new(),
            queue_position: None,
            status_url: None,
            retry_after_s: None,
        }
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// 400 `validation` with the fields that do not fit.
    #[must_use]
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|e| match e.pointer.as_str() {
                "" => format!("the body: {}", e.detail),
                pointer => format!("{pointer}: {}", e.detail),
            })
            .collect::<Vec<_>>()
            .join("; ");
        let mut problem = Self::new(400, "validation", detail);
        problem.errors = errors;
        problem
    }

    /// 400 `validation` for one field.
    #[must_use]
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::validation(vec![FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }

    /// 404 with a code of its own, such as `product-not-found`.
    #[must_use]
    pub fn not_found(code: &str, detail: impl Into<String>) -> Self {
        Self::new(404, code, detail)
    }

    /// 500. The cause belongs in the log, not in the answer.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(500, "internal", "something went wrong on our side")
    }

    /// 503 with Retry-After.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(503, "unavailable", detail).retry_after(1)
    }

    /// As an answer that can be stored and given again.
    #[must_use]
    pub fn to_answer(&self) -> Answer {
        Answer {
            status: self.status,
            location: None,
            // A struct of strings and numbers always serializes.
            body: Bytes::from(serde_json::to_vec(self).unwrap_or_default()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let answer = self.to_answer();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, answer.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    /// Logs what the client is not told.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(cause) => tracing::warn!(%cause, "a store is unavailable"),
            StoreError::OutcomeUnknown(cause) => {
                tracing::error!(%cause, "outcome of a commit unknown");
            }
            StoreError::FollowUp(cause) => {
                tracing::warn!(%cause, "a step inside a transaction failed");
            }
            StoreError::Failed(cause) => tracing::error!(%cause, "a store failed"),
        }
        Self::of_store(&error)
    }
}

impl Problem {
    /// For an error that has been logged.
    #[must_use]
    pub fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Self::unavailable("a part of the shop is not reachable just now; try again shortly")
            }
            StoreError::OutcomeUnknown(_) => Self::new(
                503,
                "outcome-unknown",
                "whether this was done is not known yet; repeat it with the same Idempotency-Key to find out",
            )
            .retry_after(2),
            StoreError::FollowUp(_) => Self::new(
                503,
                "data-platform-failed",
                "the data platform did not take the order, so it was not carried out; try again shortly",
            )
            .retry_after(1),
            StoreError::Failed(_) => Self::internal(),
        }
    }
}
