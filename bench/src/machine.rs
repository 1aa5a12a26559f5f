//! What a figure was measured on: the machine, the versions, and how durable the stores were set, as they say themselves.
//! It measures nothing. Reports carry it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::processor::field_kib;
use crate::stage::Grounds;

const ANSWER: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
}

impl Machine {
    pub fn read() -> Result<Machine> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_owned());
        let memory = field_kib(&read("/proc/meminfo")?, "MemTotal:").unwrap_or(0);
        Ok(Machine {
            processor: model(&read("/proc/cpuinfo")?),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory as f64 / 1_048_576.0,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }

    pub fn text(&self) -> String {
        format!(
            "{}, {} cores for everything, {:.1} GiB, Linux {}",
            self.processor, self.cores, self.memory_gib, self.kernel
        )
    }
}

fn model(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == "model name")
        .map_or("a processor without a name", |(_, model)| model.trim())
        .to_owned()
}

/// Name to value; empty where a shop was given by address.
pub type Facts = BTreeMap<String, String>;

/// Versions and durability of the shop and of the services that were started.
pub async fn facts(grounds: &mut Grounds) -> Result<(Facts, Facts)> {
    let mut versions = Facts::from([(
        "rustc of bench".to_owned(),
        env!("BENCH_RUSTC").trim_start_matches("rustc ").to_owned(),
    )]);
    let mut durability = Facts::new();
    versions.insert("madang".to_owned(), grounds.madang_version().await?);
    if let Some(mariadb) = &grounds.services.mariadb {
        let text = mariadb
            .execute(
                "SELECT VERSION(), @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, @@innodb_doublewrite,
                    @@innodb_buffer_pool_size DIV 1048576, @@innodb_log_file_size DIV 1048576",
            )
            .await?;
        let mut fields = text.trim().split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        versions.insert("MariaDB".to_owned(), next());
        for name in [
            "innodb_flush_log_at_trx_commit",
            "sync_binlog",
            "log_bin",
            "innodb_doublewrite",
            "innodb_buffer_pool_size (MiB)",
            "innodb_log_file_size (MiB)",
        ] {
            durability.insert(format!("MariaDB {name}"), next());
        }
    } else {
        // A property of each connection, so it cannot be asked for from outside.
        durability.insert(
            "SQLite synchronous".to_owned(),
            "FULL, set by the shop".to_owned(),
        );
    }
    if let Some(redis) = &grounds.services.redis {
        let answer = ask_redis(&redis.url()).await?;
        versions.insert("Redis".to_owned(), redis_version(&answer));
        for name in ["appendonly", "appendfsync"] {
            durability.insert(format!("Redis {name}"), redis_setting(&answer, name));
        }
    }
    if grounds.services.kafka.is_some() {
        versions.insert("Kafka".to_owned(), kafka_version().await?);
        durability.insert("Kafka acks".to_owned(), "all, set by the shop".to_owned());
        durability.insert(
            "Kafka replicas".to_owned(),
            "1: one broker, its log in the page cache".to_owned(),
        );
    }
    Ok((versions, durability))
}

/// Inline commands, so that no client is needed: the answers as they come.
async fn ask_redis(url: &str) -> Result<String> {
    let address = url.trim_start_matches("redis://");
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"INFO server\r\nCONFIG GET append*\r\nQUIT\r\n")
        .await?;
    let mut answer = String::new();
    tokio::time::timeout(ANSWER, stream.read_to_string(&mut answer))
        .await
        .context("Redis does not answer")??;
    Ok(answer)
}

fn redis_version(answer: &str) -> String {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    line.unwrap_or("unknown").trim().to_owned()
}

/// In an array of names and values each has a line with its length before it.
fn redis_setting(answer: &str, name: &str) -> String {
    let mut lines = answer.lines();
    lines.find(|line| line.trim() == name);
    lines.nth(1).unwrap_or("unknown").trim().to_owned()
}

/// From the name of the broker's jar: `kafka_2.13-4.3.1.jar`.
async fn kafka_version() -> Result<String> {
    let folder = tokio::task::spawn_blocking(testkit::jars::find_or_fetch)
        .await
        .context("Kafka's jars")??;
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let version = name
            .strip_prefix("kafka_2.13-")
            .and_then(|rest| rest.strip_suffix(".jar"));
        if let Some(version) = version {
            return Ok(version.to_owned());
        }
    }
    Ok("unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_redis_answers() {
        let answer = "$30\r\n# Server\r\nredis_version:7.0.15\r\n\r\n*4\r\n$11\r\nappendfsync\r\n$8\r\neverysec\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n+OK\r\n";
        assert_eq!(redis_version(answer), "7.0.15");
        assert_eq!(redis_setting(answer, "appendfsync"), "everysec");
        assert_eq!(redis_setting(answer, "appendonly"), "yes");
        assert_eq!(redis_setting("", "appendonly"), "unknown");
    }

    #[test]
    fn reads_this_machine() {
        let machine = Machine::read().unwrap();
        assert!(machine.cores > 0 && machine.memory_gib > 0.0);
        assert_eq!(model("a: b\nmodel name\t: X 1\n"), "X 1");
    }
}
