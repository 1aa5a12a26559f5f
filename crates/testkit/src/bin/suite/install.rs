//! Installs the Debian packages that the services need and the machine lacks.
//! Only as root, only with apt-get, only what is missing.
//! Called by `main` before the services start.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use testkit::programs;

/// Does nothing when nothing is missing. The error says what to type.
pub async fn missing() -> Result<()> {
    let packages = programs::missing_packages();
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install {}", packages.join(" "));
    // SAFETY: a plain system call without arguments.
    let root = unsafe { libc::geteuid() } == 0;
    if !root || programs::find("apt-get").is_err() {
        bail!("some are missing; as root: {by_hand}");
    }
    eprintln!("suite: {by_hand}");
    // One broken source among many makes this fail, while the others may well have what is needed.
    if let Err(error) = apt_get(&["update"]).await {
        eprintln!("suite: {error:#}");
    }
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&packages);
    apt_get(&install).await?;
    let still = programs::missing_packages();
    ensure!(still.is_empty(), "still missing: {}", still.join(" "));
    Ok(())
}

async fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = tokio::process::Command::new("apt-get")
        .arg("--quiet")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .context("running apt-get")?;
    ensure!(status.success(), "apt-get {arguments:?}: {status}");
    Ok(())
}
