//! A Redis server with its append-only file on, so that a restart keeps what was acknowledged.
//! Starting takes some 20 ms: a test that wants an empty one starts its own.
//! Called by tests and `Services`.

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

    async fn run_again(&mut self) -> Result<()> {
        let place = self.place.as_ref().context("not ours to start")?;
        self.runner = place.run().await?;
        Ok(())
    }
}

impl Place {
    fn data(&self) -> std::path::PathBuf {
        self.folder.join("data")
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
