//! The description is OpenAPI 3.1, tells of every route, and its browser is there.

use anyhow::Result;
use serde_json::Value;

use crate::modes::embedded;

#[tokio::test]
async fn the_description_is_complete() -> Result<()> {
    let shop = embedded().start().await?;
    let client = shop.client();
    let api = client.get("/openapi.json").await?.expect(200).json;
    assert_eq!(api["openapi"], "3.1.0");
    assert!(api["components"]["schemas"]["Problem"].is_object());
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/users/balance/charge",
    ] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    for (path, method, operation) in operations(&api) {
        let responses = &operation["responses"];
        for status in ["400", "401", "500", "503"] {
            let answer = &responses[status]["content"]["application/problem+json"];
            assert!(
                answer.is_object(),
                "{method} {path} says nothing of {status}"
            );
        }
    }
    let references = references(&api);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(api.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let docs = client.get("/docs/").await?.expect(200);
    assert!(docs.text.contains("swagger"), "{}", docs.text);
    Ok(())
}

/// Every operation below /api.
fn operations(api: &Value) -> Vec<(String, String, Value)> {
    let paths = api["paths"].as_object().cloned().unwrap_or_default();
    let mut all = Vec::new();
    for (path, item) in paths
        .into_iter()
        .filter(|(path, _)| path.starts_with("/api/"))
    {
        for (method, operation) in item.as_object().cloned().unwrap_or_default() {
            if ["get", "post", "patch"].contains(&method.as_str()) {
                all.push((path.clone(), method, operation));
            }
        }
    }
    all
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("$ref", Value::String(reference)) => vec![reference.clone()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
