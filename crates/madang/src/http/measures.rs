//! What is counted and timed of requests. A name with labels costs more to make than to count, so what was measured once is kept.
//! The edge calls it once a request.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::Method;
use metrics::{Counter, Histogram};
use parking_lot::RwLock;

/// By route; there are as many as the shop has, and one for all others. Handles belong to the recorder that is there when they
/// are first asked for.
#[derive(Default)]
pub struct Measures(RwLock<HashMap<String, Vec<Answers>>>);

/// Those of one route to one method with one status.
struct Answers {
    method: &'static str,
    status: u16,
    count: Counter,
    duration_seconds: Histogram,
}

impl Measures {
    pub fn answered(&self, method: &Method, route: &str, status: u16, elapsed: Duration) {
        let method = label(method);
        let is_it = |answers: &&Answers| answers.status == status && answers.method == method;
        if let Some(answers) = self.0.read().get(route)
            && let Some(answers) = answers.iter().find(is_it)
        {
            return answers.record(elapsed);
        }
        let answers = Answers::of(method, route, status);
        answers.record(elapsed);
        let mut routes = self.0.write();
        let known = routes.entry(route.to_owned()).or_default();
        if !known.iter().any(|answers| is_it(&answers)) {
            known.push(answers);
        }
    }
}

impl Answers {
    fn of(method: &'static str, route: &str, status: u16) -> Self {
        let route = route.to_owned();
        Self {
            method,
            status,
            count: metrics::counter!("madang_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string()),
            duration_seconds: metrics::histogram!("madang_http_request_duration_seconds", "method" => method, "route" => route),
        }
    }

    fn record(&self, elapsed: Duration) {
        self.count.increment(1);
        self.duration_seconds.record(elapsed.as_secs_f64());
    }
}

/// Any word may be sent as a method: it must not become a label.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn every_answer_counts_under_its_own_labels() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let measures = Measures::default();
            let brewed = Method::from_bytes(b"BREW").unwrap();
            let answered = |method, route, status| {
                measures.answered(method, route, status, Duration::from_millis(3));
            };
            answered(&Method::POST, "/a", 201);
            answered(&Method::POST, "/a", 201);
            answered(&Method::POST, "/a", 503);
            answered(&Method::GET, "/a", 201);
            answered(&brewed, "/b", 405);
        });
        let told = handle.render();
        for (labels, count) in [
            (r#"method="POST",route="/a",status="201""#, 2),
            (r#"method="POST",route="/a",status="503""#, 1),
            (r#"method="GET",route="/a",status="201""#, 1),
            (r#"method="other",route="/b",status="405""#, 1),
        ] {
            let line = format!("madang_http_requests_total{{{labels}}} {count}\n");
            assert!(told.contains(&line), "{line} in {told}");
        }
        // A duration has no status among its labels: three answers to POST are one series.
        let durations = r#"madang_http_request_duration_seconds_count{method="POST",route="/a"} 3"#;
        assert!(told.contains(durations), "{told}");
    }
}
