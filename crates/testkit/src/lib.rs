//! Real services, the real shop binary and the waiting tools that tests need.
//! It knows no shop word beyond "a binary that answers /readyz"; nothing outside tests and `bench` may use it.
//! Called by test binaries, by `bench`, and by the `suite` command (`cargo suite`).
//!
//! A test asks [`shared`] for a service and returns early when it is `None`:
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! let Some(mariadb) = testkit::shared::mariadb().await else {
//!     return Ok(()); // said so loudly; counted as skipped; a failure when CI=true
//! };
//! let database_url = mariadb.create_database("orders").await?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "http")]
mod client;
mod eventually;
mod folder;
mod leftovers;
mod port;
mod process;
pub mod programs;
mod proxy;
mod services;
pub mod shared;
#[cfg(feature = "http")]
mod shop;

#[cfg(feature = "http")]
pub use client::{Client, Response};
pub use eventually::eventually;
pub use folder::Folder;
pub use port::free_port;
pub use process::Process;
pub use proxy::{Catch, Faults, Proxy, Trap};
#[cfg(feature = "tls")]
pub use services::{Door, PASSWORD, SecuredKafka, USER};
pub use services::{Kafka, KafkaCluster, MariaDb, Redis, Services, Which, jars};
#[cfg(feature = "http")]
pub use shop::{Finished, ShopProcess, ShopSettings};
