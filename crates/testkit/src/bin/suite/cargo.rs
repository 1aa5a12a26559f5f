//! Runs cargo as a child and, for the tests, reads along while their output streams through.
//! It does not know what the steps mean.
//! Called by `main`, one step after another.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use testkit::jars;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::options::Options;
use crate::tally::Tally;

/// Where the features are, and nothing of `bench`: named, it makes cargo choose the features of foreign crates as for the whole
/// workspace, so that what has been built for it is not built again.
const PACKAGES: [&str; 6] = ["-p", "messaging", "-p", "madang", "-p", "bench"];
/// Kafka over TLS: the feature, and the tests of what it adds.
const SECURED: [&str; 4] = [
    "--features",
    "messaging/kafka-tls,madang/kafka-tls",
    "--test",
    "kafka_tls",
];
/// Failpoints: the feature, and where the tests of what it adds are.
const FAILING: [&str; 5] = [
    "--features",
    "messaging/failpoints,madang/failpoints",
    "--lib",
    "--test",
    "crash",
];
/// A part of the names of the tests that the feature adds.
const FAILING_NAMES: &str = "failpoint";

/// One call of cargo in the workspace, or of a program that it has built. Dropping it while it runs ends all that it started.
pub struct Step {
    /// Without its folder.
    program: String,
    command: Command,
    arguments: Vec<String>,
}

impl Step {
    pub fn format() -> Step {
        Step::new(&["fmt", "--all", "--check"])
    }

    pub fn lints() -> Step {
        let mut lints = Step::new(&["clippy", "--workspace", "--all-targets"]);
        lints.add(["--", "-D", "warnings"]);
        lints
    }

    pub fn tests(options: &Options) -> Step {
        let mut tests = Step::new(&["test", "--workspace", "--no-fail-fast"]);
        tests.asked_for(options);
        tests
    }

    /// The programs as the tests have them.
    pub fn programs() -> Step {
        Step::new(&["build", "--workspace", "--bins"])
    }

    /// The benchmark beside this program, which holds the shop against the way it was before events.
    pub fn guard() -> Result<Step> {
        let bench = std::env::current_exe()?.with_file_name("bench");
        Ok(Step::of(bench.into_os_string(), &["guard"]))
    }

    /// Of what is there with TLS and SASL only.
    pub fn secured_lints() -> Step {
        Step::lints_of(&SECURED)
    }

    pub fn secured_tests(options: &Options) -> Step {
        let mut tests = Step::new(&["test", "--no-fail-fast"]);
        tests.add(PACKAGES);
        tests.add(SECURED);
        tests.asked_for(options);
        tests
    }

    /// Of what is there with failpoints only.
    pub fn failing_lints() -> Step {
        Step::lints_of(&FAILING)
    }

    pub fn failing_tests(options: &Options) -> Step {
        let mut tests = Step::new(&["test", "--no-fail-fast"]);
        tests.add(PACKAGES);
        tests.add(FAILING);
        tests.add([FAILING_NAMES]);
        tests.for_binaries(options);
        tests
    }

    fn lints_of(feature: &[&'static str]) -> Step {
        let mut lints = Step::new(&["clippy"]);
        lints.add(PACKAGES);
        lints.add(feature.iter().copied());
        lints.add(["--", "-D", "warnings"]);
        lints
    }

    fn asked_for(&mut self, options: &Options) {
        self.add(options.only.as_deref());
        self.for_binaries(options);
    }

    fn for_binaries(&mut self, options: &Options) {
        if !options.arguments.is_empty() {
            self.add(["--"]);
            self.add(options.arguments.iter().map(String::as_str));
        }
    }

    fn new(arguments: &[&str]) -> Step {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Step::of(cargo, arguments)
    }

    fn of(program: OsString, arguments: &[&str]) -> Step {
        let mut command = Command::new(&program);
        command
            .current_dir(jars::workspace())
            .stdin(Stdio::null())
            // A group of its own, so that all of it can be ended together.
            .process_group(0);
        // What `cargo run` told us about this package is not true of the packages to come.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(name);
            }
        }
        let name = Path::new(&program).file_name().unwrap_or_default();
        let mut step = Step {
            program: name.to_string_lossy().into_owned(),
            command,
            arguments: Vec::new(),
        };
        step.add(arguments.iter().copied());
        step
    }

    fn add<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) {
        for argument in arguments {
            self.command.arg(argument);
            self.arguments.push(argument.to_owned());
        }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Step {
        self.command.env(name, value);
        self
    }

    pub fn name(&self) -> String {
        format!("{} {}", self.program, self.arguments.join(" "))
    }

    /// True when cargo ended with 0.
    pub async fn run(mut self) -> Result<bool> {
        let mut group = self.start()?;
        group.wait().await
    }

    /// As [`Step::run`], with cargo's standard output counted and passed on as it comes.
    pub async fn run_counting(mut self, tally: &mut Tally) -> Result<bool> {
        self.command.stdout(Stdio::piped());
        let mut group = self.start()?;
        let mut out = group.child.stdout.take().context("cargo's output")?;
        let mut buffer = vec![0; 16 * 1024];
        let mut line = Vec::new();
        loop {
            let read = out.read(&mut buffer).await.context("cargo's output")?;
            if read == 0 {
                break;
            }
            pass_on(&buffer[..read]);
            for byte in &buffer[..read] {
                if *byte == b'\n' {
                    tally.read(&String::from_utf8_lossy(&line));
                    line.clear();
                } else {
                    line.push(*byte);
                }
            }
        }
        tally.read(&String::from_utf8_lossy(&line));
        group.wait().await
    }

    fn start(&mut self) -> Result<Group> {
        eprintln!("suite: {}", self.name());
        let child = self.command.spawn().context("starting cargo")?;
        Ok(Group { child })
    }
}

/// A reader that went away must not end the run before the services are down.
fn pass_on(bytes: &[u8]) {
    let mut out = std::io::stdout();
    let _ = out.write_all(bytes);
    let _ = out.flush();
}

/// A child that leads a process group; dropping it ends the whole group.
struct Group {
    child: Child,
}

impl Group {
    async fn wait(&mut self) -> Result<bool> {
        Ok(self
            .child
            .wait()
            .await
            .context("waiting for cargo")?
            .success())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Already reaped: nothing of it is left, and its number is no longer ours.
        let Some(pid) = self.child.id() else {
            return;
        };
        if let Ok(group) = libc::pid_t::try_from(pid) {
            // SAFETY: a plain system call on the group that our unreaped child leads.
            unsafe { libc::killpg(group, libc::SIGKILL) };
        }
    }
}
