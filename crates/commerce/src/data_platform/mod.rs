//! Hands every order to the data platform: one delivery an event, by HTTP or into files.
//! Not the shop's own statistics (see `analytics`). The consumer of data-platform-transfer-topic and, where that step is still
//! inside the request, the orders call it.

pub mod breaker;
pub mod files;
pub mod handler;
pub mod http_sink;
pub mod ports;

pub use files::FileSink;
pub use handler::{DataPlatform, DataPlatformHandler, DeliverError};
pub use http_sink::HttpSink;
pub use ports::{Delivered, Delivery, Receipts, Sink};

/// The name its receipts are kept under.
pub const CONSUMER: &str = "data-platform";
