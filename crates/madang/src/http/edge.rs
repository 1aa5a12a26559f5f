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
use tracing::Instrument;
use uuid::Uuid;

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
}

impl Edge {
    pub fn new(settings: &Http) -> Self {
        Self {
            timeout: Duration::from_millis(settings.request_timeout_ms),
            concurrency_max: settings.concurrency_max,
            access_log: settings.access_log,
            in_hand: AtomicUsize::new(0),
            open: AtomicBool::new(false),
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
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let (id, id_text) = request_id(&request);
    let given = request
        .headers()
        .get(&TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .and_then(TraceParent::parse);
    let span = tracing::info_span!("request", %method, path, request_id = id_text);
    let trace = telemetry::continue_trace(&span, given);
    if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
        request.headers_mut().insert(TRACEPARENT, value);
    }
    let mut response = answer(&edge, &path, request, next)
        .instrument(span.clone())
        .await;
    response.headers_mut().insert(REQUEST_ID, id);
    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    measure(&method, route, status, elapsed);
    let logged = match edge.access_log {
        AccessLog::All => true,
        // A probe that is told "not ready" is no news.
        AccessLog::Errors => status >= 500 && path.starts_with("/api/"),
        AccessLog::Off => false,
    };
    if logged {
        let _entered = span.enter();
        let trace_id = format_args!("{:032x}", trace.trace);
        let duration_ms = elapsed.as_secs_f64() * 1_000.0;
        tracing::info!(target: "madang::access", status, route, duration_ms, trace_id = %trace_id, "request");
    }
    response
}

async fn answer(edge: &Arc<Edge>, path: &str, request: Request, next: Next) -> Response {
    if !path.starts_with("/api/") {
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
fn request_id(request: &Request) -> (HeaderValue, String) {
    let given = request.headers().get(&REQUEST_ID);
    let plain = |text: &&str| {
        (1..=REQUEST_ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    if let Some(value) = given
        && let Some(text) = value.to_str().ok().filter(plain)
    {
        return (value.clone(), text.to_owned());
    }
    let text = Uuid::now_v7().simple().to_string();
    let value = HeaderValue::try_from(&text).unwrap_or(HeaderValue::from_static("none"));
    (value, text)
}

fn measure(method: &Method, route: &str, status: u16, elapsed: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        // Any word may be sent as a method: it must not become a label.
        _ => "other",
    };
    let route = route.to_owned();
    metrics::counter!("madang_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("madang_http_request_duration_seconds", "method" => method, "route" => route)
        .record(elapsed.as_secs_f64());
}
