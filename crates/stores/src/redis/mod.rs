//! One Redis (or Valkey) behind the coupon queue and the ranking boards: a connection that is made at first use and again
//! after a loss, time limits on every call, and scripts by their hash. What the keys hold is told by the files beside this one.
//! The binary makes one a process.

pub mod board;
pub mod queue;

use std::time::Duration;

use ::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind};

#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://`, `rediss://` (TLS) or `unix://`.
    pub url: String,
    /// Longest wait for the answer to one command.
    pub response_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// Commands of all tasks that may wait to be written to the connection.
    pub pipeline_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".into(),
            response_timeout_ms: 1_000,
            connect_timeout_ms: 1_000,
            pipeline_max: 4_096,
        }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Not reachable, still loading, or no answer in time: whether the command was carried out is not known.
    #[error("Redis unavailable: {0}")]
    Unavailable(String),
    /// The server does not hold the script: it is not the server that it was loaded into, or its scripts were flushed.
    #[error("Redis does not hold the script")]
    NoScript,
    #[error("setting redis.url: {0}")]
    Setting(String),
    /// Refused or misunderstood: a defect, a full memory, a missing right.
    #[error("Redis failed: {0}")]
    Failed(String),
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoScript, ReadOnly, TryAgain};
        match error.kind() {
            ErrorKind::Server(NoScript) => Self::NoScript,
            // A replica that was just demoted says READONLY until the address points elsewhere.
            ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain) => {
                Self::Unavailable(error.to_string())
            }
            ErrorKind::Io => Self::Unavailable(error.to_string()),
            _ if error.is_io_error() || error.is_timeout() => Self::Unavailable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// A Lua script and its SHA-1.
#[derive(Clone, Debug)]
pub struct Script {
    source: &'static str,
    script: ::redis::Script,
}

impl Script {
    #[must_use]
    pub fn new(source: &'static str) -> Self {
        Self {
            source,
            script: ::redis::Script::new(source),
        }
    }

    #[must_use]
    pub fn sha(&self) -> &str {
        self.script.get_hash()
    }

    /// EVALSHA with the number of keys; add keys, then arguments.
    #[must_use]
    pub fn evalsha(&self, keys: &[String]) -> Cmd {
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(self.sha()).arg(keys.len()).arg(keys);
        command
    }

    /// SCRIPT LOAD.
    #[must_use]
    pub fn load(&self) -> Cmd {
        let mut command = ::redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.source);
        command
    }
}

/// Cheap to clone; all clones share one connection, on which the commands of many tasks are pipelined.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    manager: ConnectionManager,
    /// Connecting and answering together: nothing waits longer than this.
    limit: Duration,
}

impl Redis {
    /// Checks the address only: the connection is made at first use. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Error::Setting` for an address that cannot be read.
    pub fn connect(settings: &Settings) -> Result<Self, Error> {
        let setting = |e: RedisError| Error::Setting(e.to_string());
        let client = Client::open(settings.url.as_str()).map_err(setting)?;
        let response = Duration::from_millis(settings.response_timeout_ms.max(1));
        let connect = Duration::from_millis(settings.connect_timeout_ms.max(1));
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(response))
            .set_connection_timeout(Some(connect))
            // A caller is told at once that the server is away; the next one tries again.
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(settings.pipeline_max.max(1));
        let manager =
            ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(setting)?;
        Ok(Self {
            client,
            manager,
            limit: response + connect,
        })
    }

    /// One command.
    ///
    /// # Errors
    /// See `Error`.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let mut connection = self.manager.clone();
        self.limited(command.query_async(&mut connection)).await
    }

    /// Several commands in one round trip; the first error counts.
    ///
    /// # Errors
    /// See `Error`.
    pub async fn pipe<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Error> {
        let mut connection = self.manager.clone();
        self.limited(commands.query_async(&mut connection)).await
    }

    /// A script by its hash; it is loaded and called again where the server does not hold it. Not for scripts whose
    /// absence means something: those are called by `query(&script.evalsha(..))`.
    ///
    /// # Errors
    /// See `Error`.
    pub async fn call<T: FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, Error> {
        match self.query(call).await {
            Err(Error::NoScript) => {
                let _: String = self.query(&script.load()).await?;
                self.query(call).await
            }
            other => other,
        }
    }

    /// A connection of its own to one server process: when that ends, so does the connection, and it is not made again.
    /// What is done over it is done to one incarnation of the server.
    ///
    /// # Errors
    /// `Error::Unavailable`.
    pub async fn dedicated(&self) -> Result<impl ConnectionLike + Send + use<>, Error> {
        self.limited(self.client.get_multiplexed_async_connection())
            .await
    }

    /// A name for this run of the server: it is another after each restart.
    ///
    /// # Errors
    /// See `Error`.
    pub async fn run_id(&self) -> Result<String, Error> {
        let info: String = self.query(&info_server()).await?;
        run_id_of(&info)
    }

    /// Answers once the server does.
    ///
    /// # Errors
    /// See `Error`.
    pub async fn ping(&self) -> Result<(), Error> {
        self.query::<String>(&::redis::cmd("PING")).await.map(drop)
    }

    async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.limit, call).await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(Error::Unavailable(format!(
                "no answer within {} ms",
                self.limit.as_millis()
            ))),
        }
    }
}

/// `INFO server`
#[must_use]
pub fn info_server() -> Cmd {
    let mut command = ::redis::cmd("INFO");
    command.arg("server");
    command
}

/// The `run_id` of what `INFO server` answered.
///
/// # Errors
/// `Error::Failed` where there is none.
pub fn run_id_of(info: &str) -> Result<String, Error> {
    info.lines()
        .find_map(|line| line.strip_prefix("run_id:"))
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Error::Failed("INFO server names no run_id".into()))
}
