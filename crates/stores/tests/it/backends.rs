//! The databases that the suites run on: a fresh SQLite file, or a fresh database of the shared MariaDB.
//! A suite is a set of `async fn(&Backend)`; `on_both!` makes a test of each on each engine.

use std::sync::Arc;

use commerce::answer::Claim;
use stores::sql::{Database, Settings};

/// A busy machine is no fault of what is tested: nothing is given up early.
const PATIENCE_MS: u64 = 60_000;

/// An empty database of the test's own, with the schema. Each `connect` is another process as far as pools go.
pub struct Backend {
    settings: Settings,
    _folder: Option<testkit::Folder>,
}

impl Backend {
    pub async fn sqlite() -> Self {
        let folder = testkit::Folder::new("stores").unwrap();
        let url = format!("sqlite://{}", folder.join("shop.db").display());
        Self::migrated(url, Some(folder)).await
    }

    /// `None`: there is no MariaDB to be had, which has been said.
    pub async fn mysql() -> Option<Self> {
        let server = testkit::shared::mariadb().await?;
        let url = server.create_database("stores").await.unwrap();
        Some(Self::migrated(url, None).await)
    }

    async fn migrated(url: String, folder: Option<testkit::Folder>) -> Self {
        let settings = Settings {
            url,
            connections_max: 4,
            acquire_timeout_ms: PATIENCE_MS,
            busy_timeout_ms: PATIENCE_MS,
            ..Settings::default()
        };
        let backend = Self {
            settings,
            _folder: folder,
        };
        backend.connect().await.migrate().await.unwrap();
        backend
    }

    pub async fn connect(&self) -> Database {
        // Two providers may be compiled in; the first caller chooses.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Database::connect(&self.settings).await.unwrap()
    }
}

/// A client of this Redis.
pub fn patient(server: &testkit::Redis) -> stores::redis::Settings {
    stores::redis::Settings {
        url: server.url(),
        response_timeout_ms: PATIENCE_MS,
        connect_timeout_ms: PATIENCE_MS,
        ..stores::redis::Settings::default()
    }
}

/// A claim as the HTTP layer would make it.
pub fn claim(key: u8, request: u8) -> Claim {
    Claim {
        scope: [key; 32],
        request_hash: [request; 32],
        in_flight: Arc::new(()),
    }
}

/// `on_both!(a, b)`: tests `sqlite::a`, `mysql::a` and so on, of `async fn a(&Backend)` in the same module.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::backends::Backend::sqlite().await).await;
            })*
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(backend) = crate::backends::Backend::mysql().await {
                    super::$name(&backend).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;
