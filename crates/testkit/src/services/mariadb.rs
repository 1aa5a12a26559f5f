//! A MariaDB server, and a database of its own for whoever asks.
//! One server serves all tests: a new one takes seconds, a new database milliseconds.
//! Called by tests and `Services`.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Runner;
use crate::folder::Folder;
use crate::process::Process;
use crate::{free_port, programs};

const NAME: &str = "MariaDB";
/// For a server under load: room for the pages in use, and a redo log that does not have to be emptied every few seconds. What
/// a commit waits for stays as it is.
const FOR_LOAD: [&str; 2] = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=1G"];

pub struct MariaDb {
    /// Without a database: `mysql://user[:password]@host[:port]`.
    server: String,
    place: Option<Place>,
    runner: Runner,
}

struct Place {
    folder: Folder,
    port: u16,
    options: &'static [&'static str],
}

impl MariaDb {
    /// A new server whose `root` has no password.
    pub async fn start() -> Result<MariaDb> {
        MariaDb::start_with(&[]).await
    }

    /// As `start`, with memory and log for a load.
    pub async fn start_for_load() -> Result<MariaDb> {
        MariaDb::start_with(&FOR_LOAD).await
    }

    async fn start_with(options: &'static [&'static str]) -> Result<MariaDb> {
        let place = Place {
            folder: Folder::new("mariadb")?,
            port: free_port(),
            options,
        };
        place.install().await?;
        let runner = place.run().await?;
        Ok(MariaDb {
            server: format!("mysql://root@127.0.0.1:{}", place.port),
            place: Some(place),
            runner,
        })
    }

    /// The server that `MADANG_TEST_MYSQL_URL` names (a database in it is ignored), when it is set.
    pub fn from_env() -> Option<MariaDb> {
        super::given(super::MYSQL_URL).map(|url| {
            let authority = url.find("://").map_or(0, |at| at + 3);
            let end = url[authority..]
                .find('/')
                .map_or(url.len(), |at| authority + at);
            MariaDb {
                server: url[..end].to_owned(),
                place: None,
                runner: Runner::outside(NAME),
            }
        })
    }

    /// The server's address without a database: `mysql://root@127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.clone()
    }

    /// Makes a new empty database and returns its URL. `name` (letters, digits, `_`) may be used again: a suffix keeps them apart.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        ensure!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.len() <= 40,
            "{name:?} is no name for a database"
        );
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}_{}_{number}", std::process::id());
        self.execute(&format!(
            "CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ))
        .await?;
        Ok(format!("{}/{name}", self.server))
    }

    /// Runs SQL through the command-line client (which knows every server's way to authenticate) and returns what it prints:
    /// a line a row, columns apart by tabs, no header.
    pub async fn execute(&self, sql: &str) -> Result<String> {
        let address = Address::parse(&self.server)?;
        let client = programs::find("mariadb").or_else(|_| programs::find("mysql"))?;
        let output = tokio::process::Command::new(client)
            .args(["--no-defaults", "--batch", "--skip-column-names"])
            .args(["--protocol=tcp", "--host", &address.host])
            .args(["--port", &address.port])
            .args(["--user", &address.user])
            .args(["--execute", sql])
            .env("MYSQL_PWD", &address.password)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("the MariaDB client")?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(out)
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
        let place = self.place.as_ref().context("not ours to start")?;
        self.runner = place.run().await?;
        Ok(())
    }
}

impl Place {
    /// Of its own: a server that starts removes temporary tables from its folder, those of its neighbours too.
    fn tmpdir(&self) -> String {
        format!("--tmpdir={}", self.folder.path().display())
    }

    async fn install(&self) -> Result<()> {
        programs::find("mariadbd")?;
        let mut command = tokio::process::Command::new(programs::find("mariadb-install-db")?);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.folder.join("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(self.tmpdir())
            .args(as_root())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.context("mariadb-install-db")?;
        if !output.status.success() {
            bail!(
                "mariadb-install-db: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    async fn run(&self) -> Result<Runner> {
        let mut command = Command::new(programs::find("mariadbd")?);
        command
            .arg("--no-defaults")
            .args(as_root())
            .arg(format!("--datadir={}", self.folder.join("data").display()))
            .arg(format!("--socket={}", self.folder.join("socket").display()))
            .arg(format!("--port={}", self.port))
            .arg(self.tmpdir())
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(["--max-connections=500", "--character-set-server=utf8mb4"])
            .args(self.options);
        let process = Process::spawn(command, &self.folder.join("log"))?;
        let mut runner = Runner::running(NAME, process);
        runner.ready(async || greeting(self.port).await).await?;
        Ok(runner)
    }
}

/// MariaDB refuses to run as root unless told so.
fn as_root() -> Option<&'static str> {
    // SAFETY: a plain system call without arguments.
    (unsafe { libc::geteuid() } == 0).then_some("--user=root")
}

/// The server speaks first: a packet header of four bytes, then the protocol version 10 (an error packet starts with 255).
async fn greeting(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut start = [0; 5];
    stream.read_exact(&mut start).await?;
    ensure!(start[4] == 10, "greeted with {start:?}");
    Ok(())
}

struct Address {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Address {
    fn parse(server: &str) -> Result<Address> {
        let rest = server
            .strip_prefix("mysql://")
            .with_context(|| format!("{server:?} does not start with mysql://"))?;
        let (who, place) = rest.rsplit_once('@').unwrap_or(("root", rest));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "3306"));
        Ok(Address {
            user: user.to_owned(),
            password: password.to_owned(),
            host: host.to_owned(),
            port: port.to_owned(),
        })
    }
}
