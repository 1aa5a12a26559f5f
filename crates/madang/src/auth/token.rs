//! Tokens for trying things out, signed with the shop's own secret: `madang token` and the demo print them.
//! Real callers bring their issuer's.

use anyhow::bail;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use super::secret;
use crate::config::{AuthMode, Config};

#[derive(Serialize)]
struct Payload<'a> {
    sub: String,
    scope: &'a str,
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// What a token is to say.
pub struct Claims<'a> {
    pub sub: i64,
    /// Words separated by spaces, such as `customer operator`.
    pub scope: &'a str,
    pub ttl_s: i64,
}

/// # Errors
/// The keys belong to an issuer elsewhere, or the secret cannot be read.
pub fn sign(config: &Config, claims: &Claims<'_>) -> anyhow::Result<String> {
    let auth = &config.auth;
    if auth.mode == AuthMode::Off {
        bail!("auth.mode is off: no token is needed, say userId in the request");
    }
    if !auth.jwks_url.is_empty() {
        bail!(
            "tokens come from the issuer whose keys are at auth.jwks_url; this shop cannot sign them"
        );
    }
    let now = jiff::Timestamp::now().as_second();
    let payload = Payload {
        sub: claims.sub.to_string(),
        scope: claims.scope,
        iss: &auth.issuer,
        aud: &auth.audience,
        iat: now,
        exp: now.saturating_add(claims.ttl_s),
    };
    let key = EncodingKey::from_secret(secret::of(config)?.as_bytes());
    Ok(encode(&Header::new(Algorithm::HS256), &payload, &key)?)
}
