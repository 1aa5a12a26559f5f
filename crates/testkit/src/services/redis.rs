//! A Redis server with its append-only file on, so that a restart keeps what was acknowledged.
//! Starting takes some 20 ms: a test that wants an empty one starts its own.
//! Called by tests and `Services`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Runner;
use crate::folder::Folder;
use crate::process::Process;
use crate::{free_port, programs};

const NAME: &str = "Redis";

pub struct Redis {
    url: String,
    place: Option<Place>,
    runner: Runner,
}

struct Place {
    folder: Folder,
    port: u16,
}

impl Redis {
    /// An empty server.
    pub async fn start() -> Result<Redis> {
        let place = Place {
            folder: Folder::new("redis")?,
            port: free_port(),
        };
        let runner = place.run().await?;
        Ok(Redis {
            url: format!("redis://127.0.0.1:{}", place.port),
            place: Some(place),
            runner,
        })
    }

    /// The server that `MADANG_TEST_REDIS_URL` names, when it is set.
    pub fn from_env() -> Option<Redis> {
        super::given(super::REDIS_URL).map(|url| Redis {
            url,
            place: None,
            runner: Runner::outside(NAME),
        })
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn pid(&self) -> Option<u32> {
        self.runner.pid()
    }

    pub async fn stop(&mut self) -> Result<()> {
        self.runner.stop().await.map(drop)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.runner.kill()
    }

    /// Stops it if it runs and starts it again: same port, same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.runner.stop().await?;
        self.run_again().await
    }

    /// Killed and started again on the same port with all its data lost.
    pub async fn restart_wiped(&mut self) -> Result<()> {
        self.runner.kill()?;
        let place = self.place.as_ref().context("not ours to wipe")?;
        std::fs::remove_dir_all(place.data()).context("wiping Redis")?;
        self.run_again().await
    }

    /// Copies its data as it lies on the disk at this moment, for [`Redis::restart_from_copy`].
    pub fn keep_copy(&self) -> Result<()> {
        let place = self.place.as_ref().context("not ours to copy")?;
        let copy = place.copy();
        if copy.exists() {
            std::fs::remove_dir_all(&copy).context("removing an older copy")?;
        }
        copy_folder(&place.data(), &copy)
    }

    /// Killed and started again on the same port with the data of the last copy: what was acknowledged since is lost.
    pub async fn restart_from_copy(&mut self) -> Result<()> {
        self.runner.kill()?;
        let place = self.place.as_ref().context("not ours to put back")?;
        std::fs::remove_dir_all(place.data()).context("removing Redis' data")?;
        copy_folder(&place.copy(), &place.data())?;
        self.run_again().await
    }

    async fn run_again(&mut self) -> Result<()> {
        let place = self.place.as_ref().context("not ours to start")?;
        self.runner = place.run().await?;
        Ok(())
    }
}

impl Place {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn copy(&self) -> PathBuf {
        self.folder.join("copy")
    }

    async fn run(&self) -> Result<Runner> {
        std::fs::create_dir_all(self.data()).context("Redis' data folder")?;
        let mut command = Command::new(programs::find("redis-server")?);
        command
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1"])
            .args(["--appendonly", "yes"])
            // No snapshots beside it: one that fails, as on a full disk, has all writes refused.
            .args(["--save", ""])
            .arg("--dir")
            .arg(self.data());
        let process = Process::spawn(command, &self.folder.join("log"))?;
        let pid = process.pid();
        let mut runner = Runner::running(NAME, process);
        runner.ready(async || answers(self.port, pid).await).await?;
        Ok(runner)
    }
}

/// A file that grows meanwhile is copied as far as it is: Redis reads an append-only file whose end is cut off.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let what = || format!("copying {}", from.display());
    std::fs::create_dir_all(to).with_context(what)?;
    for entry in std::fs::read_dir(from).with_context(what)? {
        let entry = entry.with_context(what)?;
        let target = to.join(entry.file_name());
        if entry.file_type().with_context(what)?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).with_context(what)?;
        }
    }
    Ok(())
}

/// Whether this very process answers: another's Redis on the port would be emptied by whoever thinks it is alone there.
async fn answers(port: u16, pid: u32) -> Result<()> {
    // PING is answered with an error while the server still loads its data, INFO is not.
    let pong = ask(port, "PING").await?;
    ensure!(pong == "+PONG\r\n", "answered {pong:?}");
    let info = ask(port, "INFO server").await?;
    let its = info.lines().find_map(|it| it.strip_prefix("process_id:"));
    ensure!(
        its == Some(pid.to_string().as_str()),
        "process {its:?} answers on port {port}, not {pid}"
    );
    Ok(())
}

async fn ask(port: u16, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // Answers everything, then hangs up: no need to know where an answer ends.
    let asked = format!("{command}\r\nQUIT\r\n");
    stream.write_all(asked.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn comes_back_with_the_data_of_its_copy() -> Result<()> {
        let Some(mut redis) = crate::shared::redis().await else {
            return Ok(());
        };
        let Some(port) = redis.place.as_ref().map(|it| it.port) else {
            return Ok(());
        };
        ask(port, "SET a early").await?;
        redis.keep_copy()?;
        ask(port, "SET a late").await?;
        redis.restart_from_copy().await?;
        assert_eq!(ask(port, "GET a").await?, "$5\r\nearly\r\n");
        Ok(())
    }

    #[tokio::test]
    async fn another_server_on_the_port_is_not_taken_for_ours() -> Result<()> {
        let there = crate::shared::redis().await;
        let Some(port) = there.as_ref().and_then(|it| Some(it.place.as_ref()?.port)) else {
            return Ok(());
        };
        let folder = Folder::new("redis")?;
        let second = Place { folder, port }.run().await;
        let why = second.err().context("two on one port")?.to_string();
        assert!(why.contains("Address already in use"), "{why}");
        Ok(())
    }
}
