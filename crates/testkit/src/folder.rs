//! Temporary folders that name the process they belong to and are removed with it.
//! Not a general temp-file tool: tests that only need a folder of their own may use it too.
//! Called by the services and the shop process.

use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result};

use crate::leftovers;

const PREFIX: &str = "madang-testkit-";
static SWEEP: Once = Once::new();

/// A temporary folder, removed when dropped and at the latest when the process ends.
pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    /// A new empty folder; `name` only helps whoever looks at the disk.
    pub fn new(name: &str) -> Result<Folder> {
        SWEEP.call_once(sweep);
        let prefix = format!("{PREFIX}{}-{name}-", std::process::id());
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir()
            .context("a temporary folder")?;
        leftovers::add_folder(folder.path());
        Ok(Folder { folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        leftovers::remove_folder(self.folder.path());
    }
}

/// Removes the folders of processes that were killed before they could.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if let Some(pid) = owner
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
