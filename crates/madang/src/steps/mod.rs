//! The steps of the shop at which a test can make it die, fail or wait, each around a call of a port, so that the code behind
//! the ports knows nothing of it. Without the feature `failpoints` each function here gives back what it was given.
//! The wiring passes its ports through; the points of the SQL stores' COMMITs are in `stores::sql` itself.

#[cfg(feature = "failpoints")]
mod board;
#[cfg(feature = "failpoints")]
mod control;
#[cfg(feature = "failpoints")]
mod handling;
#[cfg(feature = "failpoints")]
mod log;
#[cfg(feature = "failpoints")]
mod outbox;
#[cfg(feature = "failpoints")]
mod queue;
#[cfg(feature = "failpoints")]
mod requests;

use std::sync::Arc;

use axum::Router;
use commerce::coupon::Queue;
use commerce::data_platform::Sink;
use commerce::ranking::ports::Board;
use messaging::consumer::Handler;
use messaging::log::EventLog;
use messaging::outbox::Store;

use crate::shop::Name;

/// A call with its two points; `$away` makes the port's own error of a failed one.
#[cfg(feature = "failpoints")]
macro_rules! step {
    ($name:literal, $away:expr, $call:expr) => {{
        messaging::failpoint::before($name).await.map_err($away)?;
        let done = $call.await?;
        messaging::failpoint::after($name).await.map_err($away)?;
        Ok(done)
    }};
}
#[cfg(feature = "failpoints")]
use step;

pub fn queue(port: Arc<dyn Queue>) -> Arc<dyn Queue> {
    #[cfg(feature = "failpoints")]
    let port = Arc::new(queue::Steps(port));
    port
}

pub fn board(port: Arc<dyn Board>) -> Arc<dyn Board> {
    #[cfg(feature = "failpoints")]
    let port = Arc::new(board::Steps(port));
    port
}

pub fn sink(port: Arc<dyn Sink>) -> Arc<dyn Sink> {
    #[cfg(feature = "failpoints")]
    let port = Arc::new(handling::Delivering(port));
    port
}

pub fn outbox(port: Arc<dyn Store>) -> Arc<dyn Store> {
    #[cfg(feature = "failpoints")]
    let port = Arc::new(outbox::Steps(port));
    port
}

/// Whose hands the log is in.
#[derive(Clone, Copy, Debug)]
pub enum Hand {
    Relay,
    Scheduler,
    Consumers,
}

pub fn log(port: Arc<dyn EventLog>, hand: Hand) -> Arc<dyn EventLog> {
    #[cfg(feature = "failpoints")]
    let port = Arc::new(log::Steps::new(port, hand));
    #[cfg(not(feature = "failpoints"))]
    let _ = hand;
    port
}

pub fn handler(port: Arc<dyn Handler>, name: Name) -> Arc<dyn Handler> {
    #[cfg(feature = "failpoints")]
    let port = Arc::new(handling::Handling::new(port, name));
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
    port
}

/// Points around requests, and the routes that arm points while the process runs.
pub fn routes(router: Router) -> Router {
    #[cfg(feature = "failpoints")]
    let router = requests::around(router).merge(control::router());
    router
}

/// What the variable FAILPOINTS says holds from the start on.
pub fn arm_from_environment() {
    #[cfg(feature = "failpoints")]
    messaging::failpoint::armed::arm_from_environment();
}
