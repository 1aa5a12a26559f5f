//! Kafka's jars: found in the cache under `target/`, or fetched into it by Maven from the list in `ops/kafka/pom.xml`.
//! It does not install Java or Maven.
//! Called before a broker starts, and by `suite` so that the download is seen to happen.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::programs;

/// A folder with the jars, to be used in place of the cache.
const FOLDER: &str = "MADANG_KAFKA_LIBS";

/// The folder that holds the jars. Blocks, for some ten seconds when they must be fetched.
pub fn find_or_fetch() -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if let Some(folder) = super::given(FOLDER) {
        return Ok(PathBuf::from(folder));
    }
    let _held = ONE_AT_A_TIME.lock();
    let root = workspace();
    let pom = root.join("ops/kafka/pom.xml");
    let listed = std::fs::read(&pom).with_context(|| format!("reading {}", pom.display()))?;
    let folder = target(&root).join("kafka-libs");
    // The copy of the list beside the jars tells for which versions they were fetched.
    if std::fs::read(folder.join("pom.xml")).is_ok_and(|fetched| fetched == listed) {
        return Ok(folder);
    }
    fetch(&pom, &folder)?;
    Ok(folder)
}

/// Into a folder of its own first: another process may fetch at the same time, and a broken download must not look whole.
fn fetch(pom: &Path, folder: &Path) -> Result<()> {
    let maven = programs::find("mvn")?;
    let parent = folder.parent().context("a folder without a parent")?;
    std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    let fresh = tempfile::Builder::new()
        .prefix("kafka-libs-")
        .tempdir_in(parent)
        .context("a folder for the download")?;
    let output = Command::new(maven)
        .args(["--batch-mode", "--quiet", "-f"])
        .arg(pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", fresh.path().display()))
        .stdin(Stdio::null())
        .output()
        .context("running Maven")?;
    if !output.status.success() {
        bail!(
            "Maven could not fetch Kafka's jars: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    std::fs::copy(pom, fresh.path().join("pom.xml")).context("noting the versions")?;
    let fresh = fresh.keep();
    if folder.exists() {
        std::fs::remove_dir_all(folder).context("removing older jars")?;
    }
    if std::fs::rename(&fresh, folder).is_err() {
        // Somebody else was faster: theirs are as good.
        std::fs::remove_dir_all(&fresh).context("removing a second download")?;
    }
    Ok(())
}

/// The folder of the workspace's Cargo.toml.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn target(root: &Path) -> PathBuf {
    match super::given("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}
