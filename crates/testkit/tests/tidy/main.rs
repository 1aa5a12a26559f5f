//! The tidy test: the house rules of the workspace, checked on its sources and manifests.
//! It knows no behaviour; what a rule forbids and why stands beside the rule.
//! Run by `cargo test`; each rule's own tests show that it can fail.

mod doors;
mod manifests;
mod shape;
mod source;
mod tokens;

use std::path::Path;

use source::{Finding, Source};

#[test]
fn the_doors_hold() {
    let root = workspace();
    let mut findings = Vec::new();
    for source in source::rust_files(&root) {
        findings.extend(doors::check(&source));
    }
    for manifest in source::manifests(&root) {
        findings.extend(manifests::check(&manifest));
    }
    report(&findings);
}

#[test]
fn files_and_functions_are_in_shape() {
    let files = source::rust_files(&workspace());
    assert!(files.len() > 10, "only {} files found", files.len());
    let findings: Vec<Finding> = files.iter().flat_map(shape::check).collect();
    report(&findings);
}

fn workspace() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn report(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// For the rules' own tests: what `check` says about `text` at `path`, without the places.
#[cfg(test)]
fn said(check: impl Fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
    let source = Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    check(&source).into_iter().map(|found| found.what).collect()
}
