//! The three real services, each a process of ours on a free loopback port or an address given from outside.
//! No client crate is used: readiness is asked in each service's own protocol.
//! Called by tests, `bench` and the `suite` command.

#[cfg(feature = "tls")]
mod certificates;
pub mod jars;
mod kafka;
mod kafka_cluster;
mod kafka_wire;
mod mariadb;
mod redis;
#[cfg(feature = "tls")]
mod secured_kafka;

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::eventually::within;
use crate::process::Process;

pub use kafka::Kafka;
pub use kafka_cluster::KafkaCluster;
pub use mariadb::MariaDb;
pub use redis::Redis;
#[cfg(feature = "tls")]
pub use secured_kafka::{Door, PASSWORD, SecuredKafka, USER};

/// Addresses given from outside: the suite passes them to the test binaries, a CI may pass its own.
pub const MYSQL_URL: &str = "MADANG_TEST_MYSQL_URL";
pub const REDIS_URL: &str = "MADANG_TEST_REDIS_URL";
pub const KAFKA: &str = "MADANG_TEST_KAFKA";

/// Long: a broker that starts beside a whole test run on a small machine takes its time.
const READY_S: u64 = 180;
const STOP_S: u64 = 60;
const LOG_LINES: usize = 40;

/// Which services to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    pub mariadb: bool,
    pub redis: bool,
    pub kafka: bool,
}

impl Which {
    pub const ALL: Which = Which {
        mariadb: true,
        redis: true,
        kafka: true,
    };
    pub const NONE: Which = Which {
        mariadb: false,
        redis: false,
        kafka: false,
    };
    pub const MARIADB: Which = Which {
        mariadb: true,
        ..Which::NONE
    };
    pub const REDIS: Which = Which {
        redis: true,
        ..Which::NONE
    };
    pub const KAFKA: Which = Which {
        kafka: true,
        ..Which::NONE
    };

    pub const fn and(self, other: Which) -> Which {
        Which {
            mariadb: self.mariadb || other.mariadb,
            redis: self.redis || other.redis,
            kafka: self.kafka || other.kafka,
        }
    }
}

/// The services that were asked for. Dropping it ends those that it started and removes their data.
pub struct Services {
    pub mariadb: Option<MariaDb>,
    pub redis: Option<Redis>,
    pub kafka: Option<Kafka>,
}

impl Services {
    /// Starts new ones, side by side, and waits until each answers.
    pub async fn start(which: Which) -> Result<Services> {
        Services::started(which, MariaDb::start()).await
    }

    /// As `start`, with what each of them needs under a long load.
    pub async fn start_for_load(which: Which) -> Result<Services> {
        Services::started(which, MariaDb::start_for_load()).await
    }

    async fn started(
        which: Which,
        mariadb: impl Future<Output = Result<MariaDb>>,
    ) -> Result<Services> {
        let (mariadb, redis, kafka) = tokio::try_join!(
            wanted(which.mariadb, mariadb),
            wanted(which.redis, Redis::start()),
            wanted(which.kafka, Kafka::start()),
        )?;
        Ok(Services {
            mariadb,
            redis,
            kafka,
        })
    }

    /// Those whose addresses the environment gives; nothing is started.
    pub fn from_env() -> Services {
        Services {
            mariadb: MariaDb::from_env(),
            redis: Redis::from_env(),
            kafka: Kafka::from_env(),
        }
    }

    /// # Panics
    /// When it was not asked for. The other two likewise.
    #[track_caller]
    pub fn mariadb(&mut self) -> &mut MariaDb {
        self.mariadb.as_mut().expect("MariaDB was asked for")
    }

    #[track_caller]
    pub fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("Redis was asked for")
    }

    #[track_caller]
    pub fn kafka(&mut self) -> &mut Kafka {
        self.kafka.as_mut().expect("Kafka was asked for")
    }

    /// Whether all three run as processes of ours, so that more of them can be started here.
    pub fn all_started(&self) -> bool {
        let started = [
            self.mariadb.as_ref().and_then(MariaDb::pid),
            self.redis.as_ref().and_then(Redis::pid),
            self.kafka.as_ref().and_then(Kafka::pid),
        ];
        started.iter().all(Option::is_some)
    }

    /// Environment variables by which [`Services::from_env`] finds these services in a child process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mariadb = self.mariadb.as_ref().map(|it| (MYSQL_URL, it.url()));
        let redis = self.redis.as_ref().map(|it| (REDIS_URL, it.url()));
        let kafka = self.kafka.as_ref().map(|it| (KAFKA, it.address()));
        [mariadb, redis, kafka].into_iter().flatten().collect()
    }
}

async fn wanted<T>(wanted: bool, start: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    if wanted {
        start.await.map(Some)
    } else {
        Ok(None)
    }
}

/// A variable that is set and not empty.
fn given(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|it| !it.is_empty())
}

/// The process behind a handle, or none when the address was given from outside.
struct Runner {
    name: &'static str,
    process: Option<Process>,
}

impl Runner {
    fn outside(name: &'static str) -> Runner {
        Runner {
            name,
            process: None,
        }
    }

    fn running(name: &'static str, process: Process) -> Runner {
        Runner {
            name,
            process: Some(process),
        }
    }

    fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    fn ours(&mut self) -> Result<&mut Process> {
        let name = self.name;
        self.process
            .as_mut()
            .with_context(|| format!("{name} was given from outside: not ours to stop"))
    }

    async fn stop(&mut self) -> Result<ExitStatus> {
        self.ours()?.stop(Duration::from_secs(STOP_S)).await
    }

    fn kill(&mut self) -> Result<()> {
        self.ours()?.kill();
        Ok(())
    }

    /// Probes until the service answers; fails at once when the process ends, with what it printed.
    async fn ready(&mut self, probe: impl AsyncFn() -> Result<()>) -> Result<()> {
        let name = self.name;
        let process = self.ours()?;
        let ready = within(Duration::from_secs(READY_S), async || {
            if let Some(status) = process.exited()? {
                return Ok(Err(status));
            }
            probe().await?;
            Ok(Ok(()))
        })
        .await;
        let tail = |process: &Process| process.log_tail(LOG_LINES);
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("{name} ended with {status}:\n{}", tail(process)),
            Err(last) => bail!(
                "{name} is not ready after {READY_S} s ({last:#}):\n{}",
                tail(process)
            ),
        }
    }
}
