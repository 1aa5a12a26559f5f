//! The description is OpenAPI 3.1, tells of every route, and its browser is there.

use anyhow::Result;
use reqwest::Method;
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
        let open = operation["security"].is_array();
        assert_eq!(responses["401"].is_null(), open, "{method} {path}");
        let caller = if open { None } else { Some("401") };
        for status in ["400", "500", "503"].into_iter().chain(caller) {
            let answer = &responses[status]["content"]["application/problem+json"];
            assert!(
                answer.is_object(),
                "{method} {path} says nothing of {status}"
            );
        }
    }
    assert!(api["paths"]["/api/products"]["get"]["security"].is_array());
    let ids: Vec<_> = operations(&api)
        .into_iter()
        .map(|(_, _, operation)| operation["operationId"].to_string())
        .collect();
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    let references = references(&api);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(api.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let docs = client.get("/docs/").await?.expect(200);
    assert!(docs.text.contains("swagger"), "{}", docs.text);
    let nothing = client.get("/docs/nothing").await?.expect(404);
    assert_eq!(nothing.json["code"], "route-not-found");
    Ok(())
}

/// What the browser fills in for a newcomer is taken as it stands.
#[tokio::test]
async fn the_examples_work() -> Result<()> {
    let settings = embedded();
    let seed = ["seed", "--products", "1", "--coupons", "1"];
    settings.run(&seed).await?.expect_success();
    let shop = settings.start().await?;
    let token = ["token", "--sub", "7", "--scope", "customer,operator"];
    let token = settings.run(&token).await?.expect_success();
    let client = shop.client().with_token(token.stdout.trim());
    let api = client.get("/openapi.json").await?.expect(200).json;
    for (method, described, path, schema, status) in [
        (
            Method::POST,
            "/api/users/balance/charge",
            "",
            "ChargeRequest",
            200,
        ),
        (Method::POST, "/api/orders", "", "OrderRequest", 201),
        (Method::POST, "/api/coupons", "", "CouponRequest", 201),
        (Method::PATCH, "/api/coupons/{id}", "1", "CouponPatch", 200),
        (
            Method::PATCH,
            "/api/products/{id}",
            "1",
            "ChangeProduct",
            200,
        ),
    ] {
        let verb = method.as_str().to_ascii_lowercase();
        let body = &api["paths"][described][&verb]["requestBody"]["content"]["application/json"];
        let reference = format!("#/components/schemas/{schema}");
        assert_eq!(body["schema"]["$ref"], reference, "{verb} {described}");
        let example = &api["components"]["schemas"][schema]["example"];
        assert!(example.is_object(), "{schema}");
        let kind = [("content-type", "application/json")];
        let path = described.replace("{id}", path);
        let sent = Some(example.to_string().into_bytes());
        client
            .send(method, &path, &kind, sent)
            .await?
            .expect(status);
    }
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
