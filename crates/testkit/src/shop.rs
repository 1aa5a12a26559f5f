//! The real `madang` binary as a child process, in a folder of its own.
//! It knows the binary's outside only: arguments, environment, `/readyz`, signals, exit codes.
//! Called by whole-shop tests and `bench`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::client::Client;
use crate::eventually::within;
use crate::folder::Folder;
use crate::free_port;
use crate::process::Process;

const READY_S: u64 = 60;
const STOP_S: u64 = 60;
const COMMAND_S: u64 = 300;
const LOG_LINES: usize = 100;

/// How to run the binary. Each start gets a free port; the folder (working directory, where `madang-data/` appears) stays the
/// same for all starts and commands of one `ShopSettings` and its clones, so a killed shop can be started again on its data.
#[derive(Clone)]
pub struct ShopSettings {
    binary: PathBuf,
    folder: Arc<Folder>,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<OsString>,
    listen: Option<u16>,
    quiet: bool,
}

/// The sections of the shop's settings for its topics and groups, and what those are called.
const TOPICS: [(&str, &str); 4] = [
    ("ORDER_COMPLETED", "order-completed-topic"),
    ("PRODUCT_RANKING", "product-ranking-topic"),
    ("COUPON_ISSUE", "coupon-issue-events"),
    ("DATA_PLATFORM_TRANSFER", "data-platform-transfer-topic"),
];
const GROUPS: [(&str, &str); 4] = [
    ("ANALYTICS", "analytics-group"),
    ("RANKING", "product-ranking-group"),
    ("COUPON_ISSUE", "coupon-issue-group"),
    ("DATA_PLATFORM", "data-platform-group"),
];

/// What a command printed and how it ended; code -1 when a signal ended it.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl ShopSettings {
    /// `binary` is `env!("CARGO_BIN_EXE_madang")` in the tests of crates/madang. `MADANG_*` variables of the test's own
    /// environment are not passed on.
    pub fn new(binary: impl AsRef<Path>) -> Result<ShopSettings> {
        Ok(ShopSettings {
            binary: binary.as_ref().to_owned(),
            folder: Arc::new(Folder::new("shop")?),
            environment: Vec::new(),
            arguments: Vec::new(),
            listen: None,
            quiet: false,
        })
    }

    /// Processes of these settings do not show what they printed last when they are dropped: outside a test harness, which
    /// captures it, that is noise.
    #[must_use]
    pub fn quiet(mut self) -> ShopSettings {
        self.quiet = true;
        self
    }

    /// An environment variable for the shop and its commands; the last one of a name wins.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> ShopSettings {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Topics and groups of the shop's own, `prefix` before their usual names, so that shops can share a broker.
    #[must_use]
    pub fn apart(mut self, prefix: &str) -> ShopSettings {
        for (section, topic) in TOPICS {
            let name = format!("MADANG_TOPICS__{section}__NAME");
            self = self.env(name, format!("{prefix}{topic}"));
        }
        for (section, group) in GROUPS {
            let name = format!("MADANG_CONSUMERS__{section}__GROUP");
            self = self.env(name, format!("{prefix}{group}"));
        }
        self
    }

    /// What a variable was set to last.
    pub fn value(&self, name: &str) -> Option<String> {
        let set = self.environment.iter().rev().find(|(it, _)| it == name);
        set.and_then(|(_, value)| value.to_str()).map(str::to_owned)
    }

    /// An argument after `serve`.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> ShopSettings {
        self.arguments.push(argument.into());
        self
    }

    /// A fixed port in place of a free one for each start.
    #[must_use]
    pub fn port(mut self, port: u16) -> ShopSettings {
        self.listen = Some(port);
        self
    }

    /// The working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `madang serve ...`, awaited until `/readyz` says 200.
    pub async fn start(&self) -> Result<ShopProcess> {
        let mut shop = self.start_unready()?;
        shop.ready(Duration::from_secs(READY_S)).await?;
        Ok(shop)
    }

    /// `madang serve ...`, not awaited: for shops whose dependencies are not there yet.
    pub fn start_unready(&self) -> Result<ShopProcess> {
        let port = self.listen.unwrap_or_else(free_port);
        let mut command = self.command();
        command
            .env("MADANG_HTTP__LISTEN", format!("127.0.0.1:{port}"))
            .arg("serve")
            .args(&self.arguments);
        let log = self.folder.join(&format!("log-{port}"));
        Ok(ShopProcess {
            process: Process::spawn(command, &log)?,
            base_url: format!("http://127.0.0.1:{port}"),
            settings: self.clone(),
        })
    }

    /// Another command of the same binary on the same settings and folder, such as `["audit", "--wait", "60"]`.
    pub async fn run(&self, arguments: &[&str]) -> Result<Finished> {
        self.run_within(Duration::from_secs(COMMAND_S), arguments)
            .await
    }

    /// `run` with a deadline of the caller's, for what works on much.
    pub async fn run_within(&self, deadline: Duration, arguments: &[&str]) -> Result<Finished> {
        let mut command = tokio::process::Command::from(self.command());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(deadline, command.output())
            .await
            .with_context(|| format!("{arguments:?} still runs after {deadline:?}"))?
            .with_context(|| format!("running {arguments:?}"))?;
        Ok(Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The bare command: binary, folder, environment. For what the rest cannot do, such as feeding stdin.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MADANG_") {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }
}

impl Finished {
    /// Itself when the command ended with 0.
    ///
    /// # Panics
    /// On another exit code, with what was printed.
    #[track_caller]
    pub fn expect_success(self) -> Finished {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// A running `madang serve`. Dropping it kills it; what it printed last is shown when the test fails.
pub struct ShopProcess {
    process: Process,
    base_url: String,
    settings: ShopSettings,
}

impl ShopProcess {
    /// `http://127.0.0.1:PORT`
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub fn client(&self) -> Client {
        Client::new(&self.base_url)
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn settings(&self) -> &ShopSettings {
        &self.settings
    }

    /// Waits for `/readyz` to say 200; fails at once when the process ends.
    pub async fn ready(&mut self, deadline: Duration) -> Result<()> {
        let client = self.client();
        let process = &mut self.process;
        let ready = within(deadline, async || {
            if let Some(status) = process.exited()? {
                return Ok(Err(status));
            }
            let answer = client.get("/readyz").await?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
            Ok(Ok(()))
        })
        .await;
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("the shop ended with {status}:\n{}", self.logs()),
            Err(last) => bail!(
                "the shop is not ready after {deadline:?} ({last:#}):\n{}",
                self.logs()
            ),
        }
    }

    /// SIGKILL; nothing is drained.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, waits, and returns the exit code (-1: ended by a signal). An error when it does not end.
    pub async fn stop(&mut self) -> Result<i32> {
        let status = self.process.stop(Duration::from_secs(STOP_S)).await?;
        Ok(status.code().unwrap_or(-1))
    }

    /// How it ended (-1: by a signal), or `None` while it runs.
    pub fn exit_code(&mut self) -> Result<Option<i32>> {
        let status = self.process.exited()?;
        Ok(status.map(|status| status.code().unwrap_or(-1)))
    }

    /// Waits for it to end by itself, as after a wrong setting, and returns the exit code.
    pub async fn wait(&mut self, deadline: Duration) -> Result<i32> {
        let status = self.process.wait(deadline).await?;
        Ok(status.code().unwrap_or(-1))
    }

    /// The last lines that it printed.
    pub fn logs(&self) -> String {
        self.process.log_tail(LOG_LINES)
    }
}

impl Drop for ShopProcess {
    fn drop(&mut self) {
        self.process.kill();
        if self.settings.quiet {
            return;
        }
        // Captured by the harness, and shown by it only when the test fails.
        eprintln!("--- {} printed last:\n{}", self.base_url, self.logs());
    }
}
