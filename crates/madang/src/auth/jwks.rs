//! The issuer's public keys: fetched at start, fetched again and again, replaced as a whole.
//! Symmetric keys are never taken from there: a published secret is none.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use commerce::http::auth::KeySet;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio_util::sync::CancellationToken;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Between tries while the issuer is away.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Fetches the keys once.
///
/// # Errors
/// The issuer did not answer, or with something else than keys.
async fn fetch(client: &reqwest::Client, url: &str, keys: &KeySet) -> anyhow::Result<()> {
    let set: JwkSet = client
        .get(url)
        .timeout(ANSWER_WITHIN)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .context("the issuer's keys could not be fetched")?
        .json()
        .await
        .context("the issuer's answer is not a JSON Web Key Set")?;
    let usable: HashMap<_, _> = set.keys.iter().filter_map(usable).collect();
    ensure!(
        !usable.is_empty(),
        "the issuer's key set holds no usable key"
    );
    *keys.write() = usable;
    Ok(())
}

/// Fetches the keys until `cancel`. While the issuer is away the keys known before stay in force; that is said once.
pub async fn refresh(url: &str, every_ms: u64, keys: &KeySet, cancel: CancellationToken) {
    let client = reqwest::Client::new();
    let mut away = false;
    loop {
        let pause = match fetch(&client, url, keys).await {
            Ok(()) => {
                if std::mem::take(&mut away) {
                    tracing::info!(url, "the issuer's keys are there again");
                }
                Duration::from_millis(every_ms)
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(
                        url,
                        error = format!("{error:#}"),
                        "the issuer's keys cannot be had"
                    );
                }
                RETRY_EVERY
            }
        };
        let pause = tokio::time::sleep(pause);
        if cancel.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

fn usable(key: &Jwk) -> Option<(String, (Algorithm, DecodingKey))> {
    let algorithm = algorithm(key)?;
    let decoding = DecodingKey::from_jwk(key).ok()?;
    Some((
        key.common.key_id.clone().unwrap_or_default(),
        (algorithm, decoding),
    ))
}

/// The one algorithm the key is for: what it says, else what its kind is commonly used with.
fn algorithm(key: &Jwk) -> Option<Algorithm> {
    let said = key.common.key_algorithm;
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => Some(match said {
            Some(KeyAlgorithm::RS384) => Algorithm::RS384,
            Some(KeyAlgorithm::RS512) => Algorithm::RS512,
            Some(KeyAlgorithm::PS256) => Algorithm::PS256,
            Some(KeyAlgorithm::PS384) => Algorithm::PS384,
            Some(KeyAlgorithm::PS512) => Algorithm::PS512,
            _ => Algorithm::RS256,
        }),
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(_) => Some(Algorithm::EdDSA),
        _ => None,
    }
}
