//! Is the judge awake? Bugs planted one at a time, each a small patch in `planted/`, into a copy of the sources; what the patch
//! names (a test, or the crash loop) must find it. A bug that does not compile proves nothing and counts as a failure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testkit::{Services, Which};
use tokio::process::Command;

/// Where the copy is built: the first time everything.
const TARGET: &str = "target/planted/build";
/// What the last judge said.
const SAID: &str = "target/planted/said.log";
/// Lines of it that are shown.
const SAID_LINES: usize = 40;
/// A judge that takes longer has found something: it takes a few seconds where nothing is planted.
const WITHIN: Duration = Duration::from_secs(120);

/// In a patch's head: what is wrong, and what finds it.
const BUG: &str = "Bug: ";
const CAUGHT_BY: &str = "Caught by: ";

#[derive(Clone, Debug)]
pub struct Bug {
    pub name: String,
    pub what: String,
    pub caught_by: Judge,
    patch: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judge {
    /// Arguments of `cargo test`.
    Test(String),
    /// Arguments of `faults crash-loop`.
    CrashLoop(String),
}

impl Judge {
    pub fn words(&self) -> String {
        match self {
            Judge::Test(arguments) => format!("cargo test {arguments}"),
            Judge::CrashLoop(arguments) => format!("faults crash-loop {arguments}"),
        }
    }

    fn parse(words: &str) -> Option<Judge> {
        let words = words.trim();
        let test = words
            .strip_prefix("cargo test ")
            .map(|it| Judge::Test(it.to_owned()));
        let crash_loop = words.strip_prefix("faults crash-loop ");
        test.or_else(|| crash_loop.map(|it| Judge::CrashLoop(it.to_owned())))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every planted bug, by name.
///
/// # Errors
/// A patch without its head.
pub fn bugs() -> Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in std::fs::read_dir(workspace().join("faults/planted"))? {
        let patch = entry?.path();
        let text = std::fs::read_to_string(&patch)?;
        let head = |label: &str| text.lines().find_map(|line| line.strip_prefix(label));
        let name = patch
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (Some(what), Some(judge)) = (head(BUG), head(CAUGHT_BY).and_then(Judge::parse)) else {
            bail!(
                "{name}: its head must say `{BUG}...` and `{CAUGHT_BY}cargo test ...` or `{CAUGHT_BY}faults crash-loop ...`"
            );
        };
        bugs.push(Bug {
            what: what.to_owned(),
            caught_by: judge,
            name,
            patch,
        });
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

/// The list as `docs/FAULTS.md` has it.
///
/// # Errors
/// As `bugs`.
pub fn markdown() -> Result<String> {
    let mut text = String::from("| Bug | What is wrong | Caught by |\n|---|---|---|\n");
    for bug in bugs()? {
        text.push_str(&format!(
            "| `{}` | {} | `{}` |\n",
            bug.name,
            bug.what,
            bug.caught_by.words()
        ));
    }
    Ok(text)
}

/// Whether a bug's patch still fits the sources.
///
/// # Errors
/// What git says otherwise.
pub async fn fits(bug: &Bug) -> Result<()> {
    git_apply(&workspace(), bug, &["--check"]).await
}

/// A copy of the sources, with services beside it.
struct Bed {
    tree: PathBuf,
    _services: Services,
    environment: Vec<(&'static str, String)>,
}

/// Plants the bugs of this part one at a time; how many were caught of how many.
///
/// # Errors
/// A judge that finds something where nothing is planted; git, cargo or a service that fails.
pub async fn run(only: &[String], shard: (usize, usize)) -> Result<(usize, usize)> {
    let (part, parts) = shard;
    let mut chosen = bugs()?;
    chosen.retain(|bug| only.is_empty() || only.contains(&bug.name));
    let chosen: Vec<Bug> = chosen
        .into_iter()
        .enumerate()
        .filter(|(n, _)| n % parts == part - 1)
        .map(|(_, bug)| bug)
        .collect();
    ensure!(!chosen.is_empty(), "no bug is called {only:?}");
    let services = Services::start(Which::ALL).await?;
    let bed = Bed {
        tree: copy_of_sources().await?,
        environment: services.environment(),
        _services: services,
    };
    let judges: BTreeSet<&Judge> = chosen.iter().map(|bug| &bug.caught_by).collect();
    for judge in judges {
        ensure!(
            bed.builds(judge).await?,
            "{} does not compile",
            judge.words()
        );
        if let Some(found) = bed.finds(judge).await? {
            let (words, said) = (judge.words(), said()?);
            bail!("{words} {found} where nothing is planted:\n{said}");
        }
    }
    println!("nothing is planted, and nothing is found");
    let mut caught = 0;
    for bug in &chosen {
        let started = Instant::now();
        git_apply(&bed.tree, bug, &[]).await?;
        let verdict = match bed.builds(&bug.caught_by).await? {
            true => match bed.finds(&bug.caught_by).await? {
                Some(_) => "caught",
                None => "NOT CAUGHT",
            },
            false => "DOES NOT COMPILE",
        };
        git_apply(&bed.tree, bug, &["--reverse"]).await?;
        caught += usize::from(verdict == "caught");
        println!(
            "{verdict:<10} {:<40} {:>5.1} s",
            bug.name,
            started.elapsed().as_secs_f64()
        );
    }
    Ok((caught, chosen.len()))
}

impl Bed {
    fn cargo(&self, arguments: &[&str], more: &str) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.environed(Command::new(cargo));
        command
            .args(arguments)
            .args(more.split_whitespace())
            // Not the workspace's own: cargo would take what was built of a planted bug for the workspace's.
            .env("CARGO_TARGET_DIR", workspace().join(TARGET));
        command
    }

    /// Within the copy, with the services' addresses.
    fn environed(&self, mut command: Command) -> Command {
        command
            .current_dir(&self.tree)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("CI", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn builds(&self, judge: &Judge) -> Result<bool> {
        let mut command = match judge {
            Judge::Test(arguments) => self.cargo(&["test", "--no-run"], before_names(arguments)),
            Judge::CrashLoop(_) => self.cargo(
                &["build", "--features", "madang/failpoints"],
                "-p madang -p faults",
            ),
        };
        Ok(command.status().await.context("running cargo")?.success())
    }

    /// How the judge ended where it found something.
    async fn finds(&self, judge: &Judge) -> Result<Option<&'static str>> {
        let mut command = match judge {
            Judge::Test(arguments) => self.cargo(&["test"], arguments),
            Judge::CrashLoop(arguments) => {
                // Not by cargo, which would build it: the time is the judge's.
                let built = workspace().join(TARGET).join("debug");
                let mut command = self.environed(Command::new(built.join("faults")));
                command
                    .arg("crash-loop")
                    .args(arguments.split_whitespace())
                    .arg("--madang")
                    .arg(built.join("madang"));
                command
            }
        };
        let said = std::fs::File::create(workspace().join(SAID)).context(SAID)?;
        command.stdout(said.try_clone().context(SAID)?).stderr(said);
        let mut child = command.process_group(0).spawn().context("the judge")?;
        let Ok(ended) = tokio::time::timeout(WITHIN, child.wait()).await else {
            // Waiting for ever is a way to fail. With it goes what it has started.
            if let Some(group) = child.id().and_then(|id| libc::pid_t::try_from(id).ok()) {
                // SAFETY: a plain system call on the group that our unreaped child leads.
                unsafe { libc::killpg(group, libc::SIGKILL) };
            }
            return Ok(Some("does not end"));
        };
        let clean = ended.context("the judge")?.success();
        Ok((!clean).then_some("fails"))
    }
}

/// The end of what the last judge said.
fn said() -> Result<String> {
    let said = std::fs::read(workspace().join(SAID)).context(SAID)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    Ok(lines[lines.len().saturating_sub(SAID_LINES)..].join("\n"))
}

/// Without the names of tests, which `--no-run` has no use for.
fn before_names(arguments: &str) -> &str {
    arguments.split(" -- ").next().unwrap_or(arguments)
}

/// Everything that git knows of, as it lies there now; what has not changed since the last time keeps its time.
async fn copy_of_sources() -> Result<PathBuf> {
    let root = workspace();
    let tree = root.join("target/planted/tree");
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(&root)
        .output()
        .await
        .context("running git")?;
    ensure!(listed.status.success(), "git does not list the sources");
    let names = String::from_utf8(listed.stdout).context("a file's name")?;
    let names: BTreeSet<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
    for name in &names {
        let (from, to) = (root.join(name), tree.join(name));
        let Ok(wanted) = std::fs::read(&from) else {
            continue;
        };
        if std::fs::read(&to).is_ok_and(|there| there == wanted) {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("a folder")?)?;
        std::fs::write(&to, wanted)?;
    }
    // Kafka's jars are looked for below the sources.
    let (jars, there) = (
        root.join("target/kafka-libs"),
        tree.join("target/kafka-libs"),
    );
    if jars.exists() && !there.exists() {
        std::fs::create_dir_all(tree.join("target"))?;
        std::os::unix::fs::symlink(jars.canonicalize()?, there)?;
    }
    Ok(tree)
}

async fn git_apply(tree: &Path, bug: &Bug, options: &[&str]) -> Result<()> {
    let tree = tree.canonicalize()?;
    let applied = Command::new("git")
        .arg("apply")
        .args(options)
        .arg(bug.patch.canonicalize()?)
        .current_dir(&tree)
        // The copy lies within a repository whose folders its paths do not mean.
        .env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(&tree))
        .output()
        .await
        .context("running git")?;
    let said = String::from_utf8_lossy(&applied.stderr);
    ensure!(applied.status.success(), "{}: {said}", bug.name);
    Ok(())
}
