//! Which crate may depend on which: `madang -> console, stores -> commerce -> messaging`, never upwards.
//! Code inside a crate is `doors`' business.
//! Called by `main` for each Cargo.toml.

use crate::source::{Finding, Source};

/// A crate, the crates of the workspace that it may use, and the foreign ones that it must not.
const CRATES: [(&str, &[&str], &[&str]); 8] = [
    ("messaging", &[], &["axum", "redis"]),
    (
        "commerce",
        &["messaging"],
        &["sea-orm", "sea-orm-migration", "sqlx", "redis", "rdkafka"],
    ),
    ("stores", &["commerce", "messaging"], &["axum", "rdkafka"]),
    (
        "console",
        &["commerce", "messaging"],
        &["sea-orm", "sqlx", "redis", "rdkafka"],
    ),
    (
        "madang",
        &["console", "stores", "commerce", "messaging"],
        &[],
    ),
    ("testkit", &["commerce", "messaging"], &[]),
    ("faults", &["testkit"], &[]),
    (
        "bench",
        &["testkit", "stores", "commerce", "messaging"],
        &[],
    ),
];

pub fn check(manifest: &Source) -> Vec<Finding> {
    let table: toml::Table = match manifest.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![manifest.finding(1, error.to_string())],
    };
    let name = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .unwrap_or_default();
    let Some((_, allowed, forbidden)) = CRATES.iter().find(|(it, ..)| *it == name) else {
        let what = format!("{name:?} has no place in the house: give it one in this rule");
        return vec![manifest.finding(1, what)];
    };
    let mut findings = Vec::new();
    for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let dependencies = table.get(section).and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
            let dependency = dependency.as_str();
            let ours = CRATES.iter().any(|(it, ..)| *it == dependency);
            // Tests of every crate may use the testkit, and what breaks the shop on purpose.
            let testing =
                section == "dev-dependencies" && ["testkit", "faults"].contains(&dependency);
            let upwards = ours && !allowed.contains(&dependency) && !testing;
            if upwards || forbidden.contains(&dependency) {
                let line = line_of(&manifest.text, dependency);
                findings.push(manifest.finding(line, format!("{name} must not use {dependency}")));
            }
        }
    }
    findings
}

fn line_of(text: &str, dependency: &str) -> usize {
    let starts = |line: &str| line.trim_start().starts_with(dependency);
    text.lines().position(starts).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        crate::said(check, "crates/x/Cargo.toml", text)
    }

    #[test]
    fn a_door_upwards_is_found() {
        let upwards = "[package]\nname = 'messaging'\n[dependencies]\ncommerce.workspace = true";
        assert_eq!(said(upwards), ["messaging must not use commerce"]);
        let in_tests = "[package]\nname = 'commerce'\n[dev-dependencies]\nstores = { path = '' }";
        assert_eq!(said(in_tests), ["commerce must not use stores"]);
        let down = "[package]\nname = 'madang'\n[dependencies]\nmessaging.workspace = true";
        assert!(said(down).is_empty());
    }

    #[test]
    fn an_engine_in_commerce_is_found() {
        let engine = "[package]\nname = 'commerce'\n[dependencies]\nredis.workspace = true";
        assert_eq!(said(engine), ["commerce must not use redis"]);
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let test = "[package]\nname = 'stores'\n[dev-dependencies]\ntestkit.workspace = true";
        assert!(said(test).is_empty());
        let shipped = "[package]\nname = 'stores'\n[dependencies]\ntestkit.workspace = true";
        assert_eq!(said(shipped), ["stores must not use testkit"]);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(said("[package]\nname = 'extras'").len(), 1);
    }
}
