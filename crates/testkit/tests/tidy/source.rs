//! The files that the rules look at.
//! It reads; it does not judge.
//! Called by `main`.

use std::fmt;
use std::path::Path;

/// A file: its path from the workspace's root, parts joined by `/`, and its text.
pub struct Source {
    pub path: String,
    pub text: String,
}

pub struct Finding {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl Source {
    pub fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }

    /// The parts of the path, the last one without `.rs`.
    pub fn parts(&self) -> Vec<&str> {
        self.path
            .strip_suffix(".rs")
            .unwrap_or(&self.path)
            .split('/')
            .collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Every Rust file of the workspace's crates.
pub fn rust_files(root: &Path) -> Vec<Source> {
    files(root, |name| name.ends_with(".rs"))
}

/// Every crate's Cargo.toml.
pub fn manifests(root: &Path) -> Vec<Source> {
    files(root, |name| name == "Cargo.toml")
}

fn files(root: &Path, wanted: impl Fn(&str) -> bool + Copy) -> Vec<Source> {
    let mut found = Vec::new();
    for top in ["crates", "bench"] {
        walk(&root.join(top), top, wanted, &mut found);
    }
    found
}

fn walk(folder: &Path, path: &str, wanted: impl Fn(&str) -> bool + Copy, found: &mut Vec<Source>) {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("reading {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("a folder's entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{path}/{name}");
        if entry.path().is_dir() {
            if name != "target" && !name.starts_with('.') {
                walk(&entry.path(), &path, wanted, found);
            }
        } else if wanted(&name) {
            let text = std::fs::read_to_string(entry.path())
                .unwrap_or_else(|error| panic!("reading {path}: {error}"));
            found.push(Source { path, text });
        }
    }
}
