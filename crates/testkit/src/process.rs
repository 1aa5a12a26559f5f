//! A child process that cannot outlive us: killed when its guard drops, at exit, and by the kernel when we are killed.
//! It knows nothing of what it runs; output goes to a log file.
//! Called by the services and the shop process.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::leftovers;

const POLL_MS: u64 = 5;

/// A running (or already ended) child. Dropping it kills it with SIGKILL and reaps it.
pub struct Process {
    child: Child,
    status: Option<ExitStatus>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no stdin, its output appended to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Process> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone().context("a second handle of the log")?)
            .stderr(out);
        let what = format!("{command:?}");
        let child = spawn_dying_with_us(command).with_context(|| format!("starting {what}"))?;
        leftovers::add_process(child.id());
        Ok(Process {
            child,
            status: None,
            log: log.to_owned(),
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().context("asking for the exit code")?;
            if self.status.is_some() {
                leftovers::remove_process(self.pid());
            }
        }
        Ok(self.status)
    }

    /// Sends a signal; does nothing when the process has ended.
    pub fn signal(&mut self, signal: libc::c_int) -> Result<()> {
        if self.exited()?.is_some() {
            return Ok(());
        }
        let pid = libc::pid_t::try_from(self.pid()).context("a pid out of range")?;
        // SAFETY: a plain system call on a child that has not been reaped.
        if unsafe { libc::kill(pid, signal) } != 0 {
            return Err(std::io::Error::last_os_error()).context("sending a signal");
        }
        Ok(())
    }

    /// Waits for the end; an error when it still runs after `deadline`.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if started.elapsed() > deadline {
                bail!("process {} still runs after {deadline:?}", self.pid());
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    /// SIGTERM, then waits; past `deadline` it is killed and that is an error.
    pub async fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM)?;
        let ended = self.wait(deadline).await;
        if ended.is_err() {
            self.kill();
        }
        ended
    }

    /// SIGKILL and reap.
    pub fn kill(&mut self) {
        if self.status.is_some() {
            return;
        }
        // The only error is "already ended"; waiting tells.
        let _ = self.child.kill();
        leftovers::remove_process(self.pid());
        self.status = self.child.wait().ok();
    }

    /// The last `lines` lines of what it printed.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

type Request = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The parent-death signal fires when the *thread* that forked ends, and a test's thread ends with its test: so one thread that
/// lives as long as the process starts all children.
fn spawn_dying_with_us(mut command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let parent = std::process::id();
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have died before the call above: then nobody would ever send the signal.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    let spawner = SPAWNER.get_or_init(|| {
        let (send, receive) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in receive {
                let _ = answer.send(command.spawn());
            }
        });
        send
    });
    let (answer, child) = mpsc::channel();
    spawner
        .send((command, answer))
        .map_err(|_| anyhow!("the thread that starts processes is gone"))?;
    let child = child.recv().context("the thread that starts processes")??;
    Ok(child)
}
