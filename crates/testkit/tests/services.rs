//! The services themselves: they start, keep their data over kill and restart, and leave nothing behind.
//! Not a test of the shop.
//! Run by `cargo test`; each test that needs a service which cannot be had says so.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use testkit::{Kafka, MariaDb, Redis, eventually, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_killed_redis_keeps_its_data_and_a_wiped_one_does_not() -> Result<()> {
    let Some(mut redis) = shared::redis().await else {
        return Ok(());
    };
    assert_eq!(say(&redis, "SET place 7").await?, "+OK\r\n");
    redis.kill()?;
    redis.restart().await?;
    assert_eq!(say(&redis, "GET place").await?, "$1\r\n7\r\n");
    redis.restart_wiped().await?;
    assert_eq!(say(&redis, "GET place").await?, "$-1\r\n");
    Ok(())
}

#[tokio::test]
async fn a_killed_mariadb_keeps_its_data_and_databases_are_apart() -> Result<()> {
    if shared::mariadb().await.is_none() {
        return Ok(());
    }
    let mut mariadb = MariaDb::start().await?;
    let first = mariadb.create_database("shop").await?;
    let second = mariadb.create_database("shop").await?;
    assert_ne!(first, second);
    let name = first.rsplit('/').next().unwrap_or_default();
    mariadb
        .execute(&format!(
            "CREATE TABLE {name}.a (b INT); INSERT INTO {name}.a VALUES (7)"
        ))
        .await?;
    let pid = mariadb.pid();
    mariadb.kill()?;
    mariadb.restart().await?;
    assert_ne!(mariadb.pid(), pid);
    let read = mariadb.execute(&format!("SELECT b FROM {name}.a")).await?;
    assert_eq!(read, "7\n");
    assert!(mariadb.create_database("no`name").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_killed_kafka_comes_back_on_its_port() -> Result<()> {
    if shared::kafka().await.is_none() {
        return Ok(());
    }
    let mut kafka = Kafka::start().await?;
    let address = kafka.address();
    kafka.kill()?;
    assert!(TcpStream::connect(&address).await.is_err());
    kafka.restart().await?;
    assert_eq!(kafka.address(), address);
    kafka.restart().await?;
    TcpStream::connect(&address).await?;
    Ok(())
}

#[tokio::test]
async fn a_dropped_service_is_gone_with_its_folder() -> Result<()> {
    let Some(redis) = shared::redis().await else {
        return Ok(());
    };
    let Some(pid) = redis.pid() else {
        return Ok(());
    };
    let process = format!("/proc/{pid}");
    assert!(Path::new(&process).exists());
    let folder = say(&redis, "CONFIG GET dir").await?;
    let folder = folder.lines().last().unwrap_or_default().to_owned();
    assert!(Path::new(&folder).exists(), "{folder}");
    drop(redis);
    assert!(!Path::new(&process).exists());
    assert!(!Path::new(&folder).exists());
    Ok(())
}

/// Runs this very test binary on the test below and kills it: its Redis must die too.
#[tokio::test]
async fn services_die_with_a_killed_parent() -> Result<()> {
    if shared::redis().await.is_none() {
        return Ok(());
    }
    let folder = testkit::Folder::new("parent")?;
    let note = folder.join("pid");
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "holds_a_redis_until_killed", "--nocapture"])
        .env("TESTKIT_NOTE", &note);
    let mut parent = testkit::Process::spawn(command, &folder.join("log"))?;
    let deadline = Duration::from_secs(60);
    let pid = eventually(deadline, "the child's Redis is up", async || {
        Ok(std::fs::read_to_string(&note)?.parse::<u32>()?)
    })
    .await;
    parent.kill();
    eventually(deadline, "the child's Redis is gone", async || {
        // An orphan that nobody reaps stays visible as a zombie.
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        anyhow::ensure!(state.is_empty() || state.contains(") Z "), "{state}");
        Ok(())
    })
    .await;
    Ok(())
}

/// Only does something when the test above runs it.
#[tokio::test]
async fn holds_a_redis_until_killed() -> Result<()> {
    let Some(note) = std::env::var_os("TESTKIT_NOTE") else {
        return Ok(());
    };
    let redis = Redis::start().await?;
    let half = Path::new(&note).with_extension("half");
    std::fs::write(&half, redis.pid().unwrap_or_default().to_string())?;
    std::fs::rename(half, note)?;
    std::future::pending().await
}

async fn say(redis: &Redis, command: &str) -> Result<String> {
    let url = redis.url();
    let address = url.trim_start_matches("redis://");
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}
