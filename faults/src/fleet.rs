//! The shop as separate processes, each of one role on a port of its own, that are restarted when they have died; and the
//! ground they stand on. On the embedded default, which belongs to one process, that one has every role.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testkit::{
    Client, Finished, Kafka, MariaDb, Redis, ShopProcess, ShopSettings, free_port, shared,
};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::PATIENCE;
use crate::points::Role;

/// Wallets and products that the load uses.
pub const USERS: u64 = 24;
pub const PRODUCTS: u64 = 6;
pub const BALANCE: i64 = 1_000_000;
/// Campaigns of the queue, and after them one that issues directly.
pub const COUPONS: u64 = 2;
pub const DIRECT: u64 = COUPONS + 1;

pub struct Ground {
    settings: ShopSettings,
    pub embedded: bool,
    pub redis: Option<Redis>,
    pub platform: MockServer,
    /// The database and the broker, where they are ours alone and may be killed.
    pub own: Option<(MariaDb, Kafka)>,
    /// Its name on the server, where there is one.
    database: Option<String>,
}

/// Whose database and broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    Embedded,
    /// Those of this run, which are left alone.
    Shared,
    /// Started for this ground.
    Own,
}

impl Ground {
    /// `None`: a service cannot be had, and that has been said.
    pub async fn prepare(binary: PathBuf, services: Services) -> Result<Option<Ground>> {
        let platform = MockServer::builder()
            .disable_request_recording()
            .start()
            .await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(204))
            .with_priority(10)
            .mount(&platform)
            .await;
        let settings = common(ShopSettings::new(binary)?.quiet(), &platform);
        if services == Services::Embedded {
            return Ok(Some(Ground {
                settings,
                embedded: true,
                redis: None,
                platform,
                own: None,
                database: None,
            }));
        }
        let Some(redis) = shared::redis().await else {
            return Ok(None);
        };
        let own = match services {
            Services::Own => Some((MariaDb::start().await?, Kafka::start().await?)),
            _ => None,
        };
        let (mariadb, kafka) = match &own {
            Some((mariadb, kafka)) => (mariadb, kafka),
            None => match (shared::mariadb().await, shared::kafka().await) {
                (Some(mariadb), Some(kafka)) => (mariadb, kafka),
                _ => return Ok(None),
            },
        };
        let name = format!("faults-{:08x}", fastrand::u32(..));
        let url = mariadb.create_database(&name.replace('-', "_")).await?;
        let database = url.rsplit('/').next().map(str::to_owned);
        let settings = settings
            .env("MADANG_DATABASE__URL", url)
            .env("MADANG_REDIS__URL", redis.url())
            .env("MADANG_KAFKA__BROKERS", kafka.address())
            .apart(&format!("{name}-"));
        Ok(Some(Ground {
            settings,
            embedded: false,
            redis: Some(redis),
            platform,
            own,
            database,
        }))
    }

    pub async fn seed(&self) -> Result<()> {
        let (users, products) = (USERS.to_string(), PRODUCTS.to_string());
        let goods = [
            "seed",
            "--users",
            &users,
            "--products",
            &products,
            "--stock",
            "100000",
            "--price",
            "1000",
        ];
        succeeded(self.settings.run(&goods).await?)?;
        let coupons = |count: u64| count.to_string();
        let queued = coupons(COUPONS);
        let campaigns = ["seed", "--coupons", &queued, "--quota", "1000000"];
        succeeded(self.settings.run(&campaigns).await?)?;
        // What is there already stays as it is.
        let all = coupons(DIRECT);
        let direct = self.settings.clone().env("MADANG_COUPON__ISSUE", "direct");
        let campaigns = ["seed", "--coupons", &all, "--quota", "1000000"];
        succeeded(direct.run(&campaigns).await?)
    }

    pub async fn audit(&self) -> Result<Finished> {
        self.settings.run(&["audit", "--wait", "60"]).await
    }

    /// The boards are recounted by a process of their own.
    pub async fn rebuild(&self, failpoints: &str) -> Result<Finished> {
        let settings = self.settings.clone().env("FAILPOINTS", failpoints);
        settings.run(&["ranking", "rebuild"]).await
    }

    /// Every answer to a key grows older than a janitor that keeps them for a day lets them be; how many there are.
    pub async fn age_answers(&self) -> Result<u64> {
        let shared = match &self.own {
            Some(_) => None,
            None => shared::mariadb().await,
        };
        let mariadb = self.own.as_ref().map(|(mariadb, _)| mariadb).or(shared);
        let (Some(mariadb), Some(database)) = (mariadb, &self.database) else {
            bail!("answers grow old on MariaDB only");
        };
        let days = "2 * 86400 * 1000000";
        let age = format!("UPDATE {database}.idempotency SET created_us = created_us - {days}");
        let aged = mariadb
            .execute(&format!("{age}; SELECT ROW_COUNT()"))
            .await?;
        aged.trim().parse().context("the number of answers")
    }

    /// A round of the janitor; it lives until it is dropped.
    pub fn janitor(&self, failpoints: &str) -> Result<ShopProcess> {
        self.settings
            .clone()
            .arg("--role")
            .arg("janitor")
            .env("MADANG_JANITOR__IDEMPOTENCY_KEEP_DAYS", "1")
            .env("MADANG_JANITOR__EVERY_MS", "1000")
            .env("FAILPOINTS", failpoints)
            .start_unready()
    }
}

/// Short leases and waits, so that what lapses lapses soon; small blocks of numbers, so that they are reserved often.
fn common(settings: ShopSettings, platform: &MockServer) -> ShopSettings {
    [
        ("AUTH__MODE", "off".to_owned()),
        ("SHOP__ID_BLOCK", "20".into()),
        ("KAFKA__MESSAGE_TIMEOUT_MS", "2500".into()),
        ("OUTBOX__LEASE_MS", "6000".into()),
        ("COUPON__SCHEDULER__LEASE_MS", "6000".into()),
        ("COUPON__SCHEDULER__RECOVERY_LEASE_MS", "4000".into()),
        ("RANKING__LEASE_MS", "3000".into()),
        ("CONSUMERS__BACKOFF_MAX_MS", "1000".into()),
        ("KAFKA__SESSION_TIMEOUT_MS", "6000".into()),
        ("CONSUMERS__DATA_PLATFORM__RETRY_INITIAL_MS", "200".into()),
        ("CONSUMERS__DATA_PLATFORM__RETRY_FACTOR", "3".into()),
        ("CONSUMERS__DATA_PLATFORM__RETRY_MAX_MS", "2000".into()),
        // The platform's failures are to be seen record by record.
        ("DATA_PLATFORM__BREAKER_FAILURES_MAX", "1000".into()),
        ("DATA_PLATFORM__URL", platform.uri()),
    ]
    .into_iter()
    .fold(settings, |settings, (name, value)| {
        settings.env(format!("MADANG_{name}"), value)
    })
}

fn succeeded(finished: Finished) -> Result<()> {
    if finished.code != 0 {
        bail!("{}{}", finished.stdout, finished.stderr);
    }
    Ok(())
}

struct Member {
    role: Role,
    port: u16,
    process: ShopProcess,
    started: Instant,
}

pub struct Fleet {
    members: Vec<Member>,
    settings: ShopSettings,
    embedded: bool,
    /// The longest time from a start to readiness.
    pub slowest_ready: Duration,
    pub restarts: u64,
}

impl Fleet {
    pub async fn start(ground: &Ground) -> Result<Fleet> {
        let mut fleet = Fleet {
            members: Vec::new(),
            settings: ground.settings.clone(),
            embedded: ground.embedded,
            slowest_ready: Duration::ZERO,
            restarts: 0,
        };
        let roles: &[Role] = match ground.embedded {
            true => &[Role::Api],
            false => &[
                Role::Api,
                Role::Relay,
                Role::Scheduler,
                Role::Consumers,
                Role::Consumers,
            ],
        };
        for role in roles {
            let port = free_port();
            let process = fleet.spawn(*role, port, "")?;
            fleet.members.push(Member {
                role: *role,
                port,
                process,
                started: Instant::now(),
            });
        }
        for member in &mut fleet.members {
            member.process.ready(PATIENCE).await?;
        }
        Ok(fleet)
    }

    fn spawn(&self, role: Role, port: u16, failpoints: &str) -> Result<ShopProcess> {
        let name = match role {
            _ if self.embedded => "all",
            Role::Api => "api",
            Role::Relay => "relay",
            Role::Scheduler => "coupon-scheduler",
            Role::Consumers => "consumers",
            Role::Janitor => "janitor",
        };
        self.settings
            .clone()
            .port(port)
            .arg("--role")
            .arg(name)
            .env("FAILPOINTS", failpoints)
            .start_unready()
    }

    /// Where the API is, for as long as the fleet lives.
    pub fn api(&self) -> Client {
        self.members[0].process.client()
    }

    /// Those of the role, by their place in the fleet.
    pub fn of(&self, role: Role) -> Vec<usize> {
        let all = 0..self.members.len();
        all.filter(|at| self.embedded || self.members[*at].role == role)
            .collect()
    }

    pub fn client(&self, at: usize) -> Client {
        self.members[at].process.client()
    }

    pub fn has_died(&mut self, at: usize) -> Result<bool> {
        Ok(self.members[at].process.exit_code()?.is_some())
    }

    /// Resident memory of each process that has lived so long.
    pub fn resident_kib(&self, lived: Duration) -> Vec<u64> {
        self.members
            .iter()
            .filter(|member| member.started.elapsed() >= lived)
            .filter_map(|member| resident_kib(member.process.pid()))
            .collect()
    }

    /// Starts again whoever has died, and waits until it is ready.
    pub async fn revive(&mut self) -> Result<()> {
        for at in 0..self.members.len() {
            if self.has_died(at)? {
                self.start_again(at, "").await?;
            }
        }
        Ok(())
    }

    /// SIGTERM, and its end awaited; it may be killed at its failpoint meanwhile.
    pub async fn stop(&mut self, at: usize) -> Result<()> {
        let code = self.members[at].process.stop().await?;
        if code != 0 && code != -1 {
            bail!(
                "a process ended with {code}: {}",
                self.members[at].process.logs()
            );
        }
        Ok(())
    }

    pub fn kill(&mut self, at: usize) {
        self.members[at].process.kill();
    }

    /// Starts a member anew without waiting for it.
    pub fn launch(&mut self, at: usize, failpoints: &str) -> Result<()> {
        let (role, port) = (self.members[at].role, self.members[at].port);
        self.members[at].process.kill();
        self.members[at].process = self.spawn(role, port, failpoints)?;
        self.members[at].started = Instant::now();
        self.restarts += 1;
        Ok(())
    }

    pub async fn ready(&mut self, at: usize) -> Result<()> {
        let started = Instant::now();
        let member = &mut self.members[at];
        let ready = member.process.ready(PATIENCE).await;
        ready.with_context(|| format!("{:?} started again", member.role))?;
        self.slowest_ready = self.slowest_ready.max(started.elapsed());
        Ok(())
    }

    async fn start_again(&mut self, at: usize, failpoints: &str) -> Result<()> {
        self.launch(at, failpoints)?;
        self.ready(at).await
    }

    /// The last lines of every process.
    pub fn logs(&self) -> String {
        let of = |member: &Member| format!("--- {:?}\n{}\n", member.role, member.process.logs());
        self.members.iter().map(of).collect()
    }
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
