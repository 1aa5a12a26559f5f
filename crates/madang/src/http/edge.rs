//! What surrounds every request, in one layer so that it costs little: request id, trace context, the limit on requests in
//! hand, the timeout, metrics, the access log. It knows no route beyond "below /api".
//! `app` puts it around the router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use commerce::http::Problem;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::measures::Measures;
use super::trace_parent::TraceParent;
use crate::config::{AccessLog, Http};
use crate::telemetry;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID_MAX: usize = 128;

pub struct Edge {
    timeout: Duration,
    concurrency_max: usize,
    access_log: AccessLog,
    /// Requests below /api in hand.
    in_hand: AtomicUsize,
    /// Whether /api answers yet.
    open: AtomicBool,
    /// Whether spans go to a collector.
    traced: bool,
    measures: Measures,
}

impl Edge {
    pub fn new(settings: &Http, traced: bool) -> Self {
        Self {
            timeout: Duration::from_millis(settings.request_timeout_ms),
            concurrency_max: settings.concurrency_max,
            access_log: settings.access_log,
            in_hand: AtomicUsize::new(0),
            open: AtomicBool::new(false),
            traced,
            measures: Measures::default(),
        }
    }

    /// From now on /api answers; before, it says 503.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    fn enter(self: &Arc<Self>) -> Result<InHand, Problem> {
        if !self.open.load(Ordering::Acquire) {
            return Err(Problem::unavailable(
                "the shop is starting and waits for a dependency; /readyz names it",
            ));
        }
        let guard = InHand(Arc::clone(self));
        if self.in_hand.fetch_add(1, Ordering::AcqRel) >= self.concurrency_max {
            metrics::counter!("madang_http_requests_shed_total").increment(1);
            return Err(Problem::new(
                503,
                "overloaded",
                "too many requests are in hand just now; try again shortly",
            )
            .retry_after(1));
        }
        Ok(guard)
    }

    /// Log lines carry the id alone, by which the access log's line of it is found: each field is written out for every request,
    /// whether it logs anything or not.
    fn span(&self, id: &HeaderValue, method: &Method, path: &str) -> Span {
        let request_id = id.to_str().unwrap_or_default();
        let span = tracing::info_span!("request", request_id, method = Empty, path = Empty);
        if self.traced {
            span.record("method", method.as_str()).record("path", path);
        }
        span
    }

    pub fn in_hand(&self) -> usize {
        self.in_hand.load(Ordering::Relaxed)
    }
}

/// A request in hand until it is dropped.
struct InHand(Arc<Edge>);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The layer.
pub async fn around(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let path = uri.path();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id(&request);
    let given = request
        .headers()
        .get(&TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .and_then(TraceParent::parse);
    let span = edge.span(&id, &method, path);
    let trace = telemetry::continue_trace(&span, given);
    // Events come of what changes something.
    if !method.is_safe()
        && let Ok(value) = HeaderValue::try_from(trace.to_string())
    {
        request.headers_mut().insert(TRACEPARENT, value);
    }
    let is_api = path.starts_with("/api/");
    let mut response = answer(&edge, is_api, request, next)
        .instrument(span.clone())
        .await;
    response.headers_mut().insert(REQUEST_ID, id);
    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    edge.measures.answered(&method, route, status, elapsed);
    let logged = match edge.access_log {
        AccessLog::All => true,
        // A probe that is told "not ready" is no news.
        AccessLog::Errors => status >= 500 && is_api,
        AccessLog::Off => false,
    };
    if logged {
        let _entered = span.enter();
        let trace_id = format_args!("{:032x}", trace.trace);
        let duration_ms = elapsed.as_secs_f64() * 1_000.0;
        tracing::info!(target: "madang::access", %method, path, status, route, duration_ms, trace_id = %trace_id, "request");
    }
    response
}

async fn answer(edge: &Arc<Edge>, is_api: bool, request: Request, next: Next) -> Response {
    if !is_api {
        return next.run(request).await;
    }
    let _in_hand = match edge.enter() {
        Ok(guard) => guard,
        Err(problem) => return problem.into_response(),
    };
    match tokio::time::timeout(edge.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            503,
            "timeout",
            "this took too long and may or may not have been done; repeat it with the same Idempotency-Key to find out",
        )
        .retry_after(1)
        .into_response(),
    }
}

/// The caller's id where it is a plain short word, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        (1..=REQUEST_ID_MAX).contains(&value.len())
            && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(given) = request.headers().get(&REQUEST_ID).filter(plain) {
        return given.clone();
    }
    let mut text = Uuid::encode_buffer();
    let text = Uuid::now_v7().simple().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none"))
}
