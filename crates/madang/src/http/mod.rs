//! The HTTP side of the process: the features' routers merged, what surrounds every request, and the listener.
//! No route of a feature is here, only those every process has: health, metrics, the API's description.
//! `cli::serve` builds it; the role `api` decides whether the features' routes are mounted.

mod app;
mod edge;
mod health;
mod measures;
mod openapi;
mod rate;
mod server;
mod trace_parent;

pub use app::{Parts, app};
pub use edge::Edge;
pub use server::{bind, run};
pub use trace_parent::TraceParent;
