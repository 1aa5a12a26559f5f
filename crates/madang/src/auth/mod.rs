//! Whose word is trusted: the secret or the issuer's keys, from the settings to the authenticator that the routes ask.
//! Tokens are checked in `commerce::http::auth`; here keys are found, kept fresh, and used to sign for `madang token`.

mod jwks;
mod secret;
mod token;

use std::sync::Arc;

use commerce::http::auth::{Authenticator, KeySet, Keys};
use jsonwebtoken::DecodingKey;

pub use jwks::refresh;
pub use token::{Claims, sign};

use crate::config::{AuthMode, Config};

/// How callers are told apart. `issuer_keys` is where the keys of an issuer elsewhere are found once they have been fetched.
///
/// # Errors
/// The secret cannot be read or made.
pub fn authenticator(config: &Config, issuer_keys: &KeySet) -> anyhow::Result<Authenticator> {
    let auth = &config.auth;
    if auth.mode == AuthMode::Off {
        tracing::warn!(
            listen = config.http.listen,
            "AUTHENTICATION IS OFF: whoever reaches this address may do everything in any user's name (auth.mode = off)"
        );
        return Ok(Authenticator::Off);
    }
    let keys = if auth.jwks_url.is_empty() {
        let secret = secret::of(config)?;
        Keys::Hmac(DecodingKey::from_secret(secret.as_bytes()))
    } else {
        Keys::Jwks(Arc::clone(issuer_keys))
    };
    Ok(Authenticator::Jwt {
        keys,
        issuer: auth.issuer.clone(),
        audience: auth.audience.clone(),
    })
}
