//! What the process says about itself: log lines, traces to a collector when one is configured, metrics.
//! Set up once, first thing in a command. Nothing is decided from it.

mod metrics;
mod traces;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use metrics::install as install_metrics;
pub use traces::{Traces, continue_trace, join_trace};

use crate::config::{Config, LogFormat};

/// Log lines to stderr (stdout belongs to what a command prints), and traces where the settings ask for them. The returned
/// guard sends what is left when the process ends.
///
/// # Errors
/// The collector's address cannot be used.
pub fn install(config: &Config) -> anyhow::Result<Traces> {
    let human = match config.log.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if human {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    };
    let (layer, traces) = traces::layer(&config.telemetry)?;
    tracing_subscriber::registry()
        .with(layer)
        .with(lines)
        .with(filter(&config.log.filter))
        .init();
    // A panic is a log line like any other.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "a task panicked");
    }));
    Ok(traces)
}

/// The filter was checked with the settings. One that names no spans, as nearly all do, is no affair of the spans': `EnvFilter`
/// asks at each of their steps.
fn filter<S>(text: &str) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    match text.parse::<Targets>() {
        Ok(targets) => targets.boxed(),
        Err(_) => EnvFilter::try_new(text)
            .unwrap_or_else(|_| EnvFilter::new("info"))
            .boxed(),
    }
}
