//! A lock file in the data folder: one `serve` an embedded database.
//! Held as long as the file is open: the operating system lets go of it when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};

use anyhow::{Context, bail};

use crate::config::Config;

/// # Errors
/// Another process serves this data.
pub fn serve(config: &Config) -> anyhow::Result<Option<File>> {
    if !config.is_embedded() {
        return Ok(None);
    }
    let folder = config.data_dir();
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {} (setting data_dir)", folder.display()))?;
    let path = folder.join("serve.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!(
            "another `madang serve` runs on {} (setting data_dir): stop it, or give this one a data_dir of its own",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
