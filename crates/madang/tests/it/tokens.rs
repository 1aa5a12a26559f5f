//! Who is trusted: tokens by the shop's own secret, by a shared one, by an issuer's keys.

use anyhow::Result;
use serde_json::json;
use testkit::ShopSettings;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::modes::embedded;

async fn token(settings: &ShopSettings, arguments: &[&str]) -> Result<String> {
    let all = [&["token"], arguments].concat();
    let said = settings.run(&all).await?.expect_success();
    Ok(said.stdout.trim().to_owned())
}

#[tokio::test]
async fn the_secret_is_made_once_and_kept_for_its_owner_only() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let settings = embedded();
    let before = token(&settings, &["--sub", "7"]).await?;
    let file = settings.folder().join("madang-data/auth-secret");
    assert_eq!(
        std::fs::metadata(&file)?.permissions().mode() & 0o777,
        0o600
    );
    let shop = settings.start().await?;
    let client = shop.client().with_token(before);
    client.get("/api/users/balance").await?.expect(200);
    Ok(())
}

#[tokio::test]
async fn what_a_token_says_is_checked() -> Result<()> {
    let settings = embedded();
    let shop = settings.start().await?;
    let client = shop.client();
    let path = "/api/users/balance";
    for (name, value) in [
        ("MADANG_AUTH__AUDIENCE", "another"),
        ("MADANG_AUTH__ISSUER", "another"),
        (
            "MADANG_AUTH__HMAC_SECRET",
            "another secret of thirty-two bytes",
        ),
    ] {
        let other = settings.clone().env(name, value);
        let forged = token(&other, &["--sub", "7"]).await?;
        client.with_token(forged).get(path).await?.expect(401);
    }
    let operator = token(&settings, &["--sub", "7", "--scope", "operator"]).await?;
    let other = "/api/users/balance?userId=8";
    client.with_token(operator).get(other).await?.expect(200);
    Ok(())
}

#[tokio::test]
async fn no_token_is_signed_where_none_is_needed_or_keys_are_elsewhere() -> Result<()> {
    for (name, value) in [
        ("MADANG_AUTH__MODE", "off"),
        ("MADANG_AUTH__JWKS_URL", "http://127.0.0.1:1/keys"),
    ] {
        let said = embedded()
            .env(name, value)
            .run(&["token", "--sub", "1"])
            .await?;
        assert_eq!(said.code, 1, "{}", said.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn an_issuers_keys_are_fetched_and_a_published_secret_is_none() -> Result<()> {
    let issuer = MockServer::start().await;
    let secret = "YSBzZWNyZXQgdGhhdCB0aGUgaXNzdWVyIHB1Ymxpc2hlZCBieSBtaXN0YWtl";
    let keys = json!({"keys": [{"kty": "oct", "kid": "", "alg": "HS256", "k": secret}]});
    let answer = ResponseTemplate::new(200).set_body_json(keys);
    Mock::given(path("/keys"))
        .respond_with(answer)
        .mount(&issuer)
        .await;
    let shop = embedded()
        .env("MADANG_AUTH__JWKS_URL", format!("{}/keys", issuer.uri()))
        .start_unready()?;
    let client = shop.client();
    let named = testkit::eventually(
        std::time::Duration::from_secs(60),
        "the issuer's keys are named as missing",
        async || {
            let report = client.get("/readyz").await?;
            let all = report.json["dependencies"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let keys = all.into_iter().find(|d| d["name"] == "issuer-keys");
            keys.filter(|d| d["detail"].is_string())
                .ok_or_else(|| anyhow::anyhow!(report.text))
        },
    )
    .await;
    assert_eq!(named["state"], "waiting");
    Ok(())
}
