//! Spans to an OTLP collector, when one is configured, and the trace a request belongs to.
//! Without a collector no tracer exists and a trace is only a number that is passed on.

use anyhow::Context as _;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;

use crate::config::Telemetry;
use crate::http::TraceParent;

type Boxed = Option<Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>>;

/// Sends what is left when it is shut down.
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends the last spans. Blocks: the exporter's client is a blocking one.
    pub fn shut_down(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

pub fn layer(settings: &Telemetry) -> anyhow::Result<(Boxed, Traces)> {
    if !settings.has_collector() {
        return Ok((None, Traces(None)));
    }
    let endpoint = format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/'));
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_headers(std::collections::HashMap::new())
        .with_endpoint(endpoint)
        .build()
        .context("setting telemetry.otlp_endpoint cannot be used")?;
    let name = KeyValue::new("service.name", settings.service_name.clone());
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample_ratio)));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(Resource::builder().with_attribute(name).build())
        .build();
    let tracer = provider.tracer("madang");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    Ok((Some(layer.boxed()), Traces(Some(provider))))
}

/// Makes the span part of the trace that a `traceparent` names.
pub fn join_trace(span: &Span, traceparent: &str) {
    if let Some(parent) = TraceParent::parse(traceparent) {
        set_parent(span, parent);
    }
}

fn set_parent(span: &Span, parent: TraceParent) {
    let remote = SpanContext::new(
        TraceId::from_bytes(parent.trace.to_be_bytes()),
        SpanId::from_bytes(parent.span.to_be_bytes()),
        TraceFlags::new(parent.flags),
        true,
        TraceState::default(),
    );
    // Refused only where no tracer listens: then a trace is but a number that is passed on.
    let _ = span.set_parent(Context::new().with_remote_span_context(remote));
}

/// Joins the span to the caller's trace, or begins one; what is to be passed on.
pub fn continue_trace(span: &Span, given: Option<TraceParent>) -> TraceParent {
    if let Some(parent) = given {
        set_parent(span, parent);
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    if own.is_valid() && !own.is_remote() {
        return TraceParent {
            trace: u128::from_be_bytes(own.trace_id().to_bytes()),
            span: u64::from_be_bytes(own.span_id().to_bytes()),
            flags: own.trace_flags().to_u8(),
        };
    }
    given.map_or_else(TraceParent::begin, TraceParent::child)
}
