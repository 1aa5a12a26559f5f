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
            .arg("--dir")
            .arg(self.data());
        let process = Process::spawn(command, &self.folder.join("log"))?;
        let mut runner = Runner::running(NAME, process);
        runner.ready(async || ping(self.port).await).await?;
        Ok(runner)
    }
}

/// PING is answered with an error while the server still loads its data.
async fn ping(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer[..read]);
    ensure!(answer == "+PONG\r\n", "answered {answer:?}");
    Ok(())
}
