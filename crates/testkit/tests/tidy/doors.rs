//! Which code may know what: engines, HTTP, the environment, and one feature of the shop another.
//! Dependencies between crates are `manifests`' business.
//! Called by `main` for each Rust file.

use crate::source::{Finding, Source};
use crate::tokens::{self, Code};

const ENGINES: [&str; 5] = ["sea_orm", "sea_orm_migration", "sqlx", "redis", "rdkafka"];
const HTTP: [&str; 3] = ["axum", "tower_http", "utoipa_axum"];

const FEATURES: [&str; 7] = [
    "analytics",
    "catalogue",
    "coupon",
    "data_platform",
    "order",
    "ranking",
    "wallet",
];

/// Who may use whom, beside themselves and what all share. The first three are the placing transaction; a board shows products.
const EDGES: [(&str, &str); 4] = [
    ("order", "coupon"),
    ("order", "wallet"),
    ("order", "catalogue"),
    ("ranking", "catalogue"),
];

pub fn check(source: &Source) -> Vec<Finding> {
    let code = tokens::read(source);
    let mut findings = environment(source, &code);
    if source.path.starts_with("crates/commerce/") {
        findings.extend(engines(source, &code));
        findings.extend(http(source, &code));
        findings.extend(features(source, &code));
    }
    findings
}

/// Settings have one door, so that every one of them is checked, masked and printed by `madang config`.
fn environment(source: &Source, code: &Code) -> Vec<Finding> {
    let parts = source.parts();
    let tests = parts.contains(&"tests")
        || parts.contains(&"testkit")
        || ["bench", "faults"].contains(&parts[0]);
    let config = parts.starts_with(&["crates", "madang", "src", "config"]);
    if tests || config {
        return Vec::new();
    }
    code.paths
        .iter()
        .filter(|path| {
            path.parts
                .starts_with(&["std".to_owned(), "env".to_owned()])
        })
        .map(|path| source.finding(path.line, "only madang's config reads the environment"))
        .collect()
}

/// The shop's rules must run on any adapter.
fn engines(source: &Source, code: &Code) -> Vec<Finding> {
    first_parts(source, code, &ENGINES, "commerce knows no engine")
}

fn http(source: &Source, code: &Code) -> Vec<Finding> {
    if source.parts().contains(&"http") {
        return Vec::new();
    }
    first_parts(
        source,
        code,
        &HTTP,
        "commerce speaks HTTP only in http files",
    )
}

fn first_parts(source: &Source, code: &Code, names: &[&str], rule: &str) -> Vec<Finding> {
    code.paths
        .iter()
        .filter(|path| names.contains(&path.parts[0].as_str()))
        .map(|path| source.finding(path.line, format!("{rule}: {}", path.parts[0])))
        .collect()
}

/// Features talk by events; an edge that is declared nowhere is how they grow together.
fn features(source: &Source, code: &Code) -> Vec<Finding> {
    let parts = source.parts();
    let Some(from) = FEATURES
        .into_iter()
        .find(|feature| parts.get(3) == Some(feature))
    else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for path in &code.paths {
        let [first, to, ..] = &path.parts[..] else {
            continue;
        };
        let other = first == "crate" && FEATURES.contains(&to.as_str()) && to != from;
        if other && !EDGES.contains(&(from, to)) {
            findings.push(source.finding(path.line, format!("{from} reaches into {to}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        crate::said(check, path, text)
    }

    const PLACE: &str = "crates/commerce/src/order/place.rs";

    #[test]
    fn commerce_with_an_engine_is_found() {
        let found = said(PLACE, "use redis::Client; fn f(c: sea_orm::Db) {}");
        assert_eq!(
            found,
            [
                "commerce knows no engine: redis",
                "commerce knows no engine: sea_orm"
            ]
        );
        assert!(said("crates/stores/src/redis/mod.rs", "use redis::Client;").is_empty());
        assert!(said(PLACE, "// redis would do\nconst A: &str = \"redis\";").is_empty());
    }

    #[test]
    fn axum_outside_http_is_found() {
        assert_eq!(said(PLACE, "use axum::Router;").len(), 1);
        assert!(said("crates/commerce/src/order/http.rs", "use axum::Router;").is_empty());
        assert!(said("crates/commerce/src/http/auth.rs", "use axum::Router;").is_empty());
        assert!(
            said(
                "crates/commerce/src/order/http/list.rs",
                "use axum::Router;"
            )
            .is_empty()
        );
    }

    #[test]
    fn the_environment_outside_config_is_found() {
        for text in [
            "use std::env;",
            "use std::{env, fs};",
            "fn f() { g(std::env::var(1)) }",
        ] {
            assert_eq!(said("crates/madang/src/main.rs", text).len(), 1, "{text}");
        }
        for path in [
            "crates/madang/src/config.rs",
            "crates/madang/src/config/load.rs",
            "crates/madang/tests/it/main.rs",
            "crates/testkit/src/shared.rs",
            "bench/src/main.rs",
        ] {
            assert!(said(path, "use std::env;").is_empty(), "{path}");
        }
        assert!(said("crates/madang/src/main.rs", "const A: &str = env!(\"A\");").is_empty());
    }

    #[test]
    fn an_undeclared_edge_between_features_is_found() {
        let wallet = "crates/commerce/src/wallet/model.rs";
        assert_eq!(
            said(wallet, "use crate::order::Order;"),
            ["wallet reaches into order"]
        );
        assert_eq!(said(wallet, "use crate::{coupon::Code, http};").len(), 1);
        assert_eq!(said(wallet, "use super::super::ranking::Board;").len(), 1);
        assert_eq!(
            said("crates/commerce/src/wallet.rs", "use super::order::A;").len(),
            1
        );
        assert!(said(wallet, "use crate::wallet::Ledger; use crate::ids::UserId;").is_empty());
        assert!(said(PLACE, "use crate::coupon::Code; use crate::wallet::Ledger;").is_empty());
        assert!(said("crates/commerce/src/http/mod.rs", "use crate::order::http;").is_empty());
    }
}
