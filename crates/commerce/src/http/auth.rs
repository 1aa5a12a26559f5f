//! Who is calling: a JWT (RFC 8725: fixed algorithms, `exp`, `aud`, `iss` checked), or, with authentication off, whoever the
//! request says. Extractors ask it; which keys are trusted is decided by the binary's settings.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use parking_lot::RwLock;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Gate, Problem};
use crate::ids::UserId;
use crate::json::Object;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Customer,
    Operator,
}

/// Keys by `kid`, replaced as a whole when the issuer rotates them.
pub type KeySet = Arc<RwLock<HashMap<String, (Algorithm, DecodingKey)>>>;

/// Where trust comes from.
pub enum Keys {
    /// HS256 with a shared secret.
    Hmac(DecodingKey),
    /// The issuer's JSON Web Key Set, refreshed by the binary.
    Jwks(KeySet),
}

pub enum Authenticator {
    Jwt {
        keys: Keys,
        issuer: String,
        audience: String,
    },
    /// The caller is the `userId` of the request, with both scopes. For the embedded default and load tests, on loopback only.
    Off,
}

/// Who is calling, as far as the request's head tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`; with authentication off the query's `userId`, if there.
    subject: Option<UserId>,
    operator: bool,
    customer: bool,
    /// The query's `userId`, where it is not the subject's own word.
    asked: Option<UserId>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    scope: String,
}

impl Caller {
    /// The user this request is for: the caller, or, for an operator, the `userId` asked for in path, query or body.
    ///
    /// # Errors
    /// 403 for another user's id without the operator's scope, 400 when authentication is off and no `userId` is given.
    pub fn user(&self, asked: Option<UserId>) -> Result<UserId, Problem> {
        if let (Some(one), Some(other)) = (asked, self.asked)
            && one != other
        {
            return Err(Problem::field(
                "?userId",
                "differs from the userId in path or body",
            ));
        }
        match (asked.or(self.asked), self.subject) {
            (Some(asked), Some(subject)) if asked == subject => Ok(asked),
            (Some(asked), _) if self.operator => Ok(asked),
            (Some(_), _) => Err(Problem::new(
                403,
                "forbidden",
                "userId is not the caller's own; only an operator may act for another user",
            )),
            (None, Some(subject)) if self.customer || self.operator => Ok(subject),
            (None, Some(_)) => Err(Problem::new(
                403,
                "forbidden",
                "the token holds neither the scope customer nor operator",
            )),
            (None, None) => Err(Problem::field(
                "?userId",
                "is missing: with authentication off the request says who is calling",
            )),
        }
    }

    /// # Errors
    /// 403 without the operator's scope.
    pub fn require_operator(&self) -> Result<(), Problem> {
        if self.operator {
            Ok(())
        } else {
            Err(Problem::new(
                403,
                "forbidden",
                "this needs a token with the scope operator",
            ))
        }
    }

    /// Whether other users' things may be seen.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.operator
    }

    /// Whether this is an operator who names no user: any user's things are meant.
    #[must_use]
    pub fn acts_for_all(&self) -> bool {
        self.operator && self.asked.is_none()
    }

    /// What an Idempotency-Key is scoped by: the caller, whoever is acted for. With authentication off the caller is whom query
    /// or body name.
    #[must_use]
    pub(super) fn scope_name(&self, body: &[u8]) -> String {
        match self.subject.or(self.asked).or_else(|| named_in(body)) {
            Some(user) => format!("user:{user}"),
            None => "anyone".to_owned(),
        }
    }
}

impl Authenticator {
    fn caller(&self, parts: &Parts) -> Result<Caller, Problem> {
        let asked = asked_user(parts)?;
        match self {
            Self::Off => Ok(Caller {
                subject: None,
                operator: true,
                customer: true,
                asked,
            }),
            Self::Jwt {
                keys,
                issuer,
                audience,
            } => {
                let claims = verify(bearer(parts)?, keys, issuer, audience)?;
                let subject = claims.sub.parse().map_err(|_| {
                    unauthorized("the token's sub is not a user id (an integer from 1)")
                })?;
                let has = |name| claims.scope.split(' ').any(|s| s == name);
                Ok(Caller {
                    subject: Some(subject),
                    operator: has("operator"),
                    customer: has("customer"),
                    asked,
                })
            }
        }
    }
}

fn verify(token: &str, keys: &Keys, issuer: &str, audience: &str) -> Result<Claims, Problem> {
    let validation = |algorithm| {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        validation
    };
    let decoded = match keys {
        Keys::Hmac(key) => decode::<Claims>(token, key, &validation(Algorithm::HS256)),
        Keys::Jwks(set) => {
            let header = decode_header(token)
                .map_err(|_| unauthorized("the bearer token is not a JSON Web Token"))?;
            let kid = header.kid.unwrap_or_default();
            let (algorithm, key) =
                set.read().get(&kid).cloned().ok_or_else(|| {
                    unauthorized("the token's key (kid) is not one of the issuer's")
                })?;
            decode::<Claims>(token, &key, &validation(algorithm))
        }
    };
    decoded
        .map(|data| data.claims)
        .map_err(|error| unauthorized(&format!("the token is not valid: {error}")))
}

fn bearer(parts: &Parts) -> Result<&str, Problem> {
    parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| unauthorized("an Authorization header with a bearer token is needed"))
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(401, "unauthorized", detail)
}

/// `userId` of the query, which old clients send on coupon and balance calls.
fn asked_user(parts: &Parts) -> Result<Option<UserId>, Problem> {
    let query = parts.uri.query().unwrap_or_default();
    let mut asked = None;
    for (_, value) in url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, value)| name == "userId" && !value.is_empty())
    {
        let user: UserId = value
            .parse()
            .map_err(|detail: String| Problem::field("?userId", detail))?;
        if asked.is_some_and(|before| before != user) {
            return Err(Problem::field("?userId", "names two users"));
        }
        asked = Some(user);
    }
    Ok(asked)
}

/// `userId` of a JSON body, where there is one.
fn named_in(body: &[u8]) -> Option<UserId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        user_id: UserId,
    }
    let named: Object<Named> = serde_json::from_slice(body).ok()?;
    Some(named.0.user_id)
}

/// A caller with the operator's scope. Taken before the body, so that others learn nothing of what would be right.
pub struct Operator;

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.require_operator()?;
        Ok(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let gate = parts.extensions.get::<Arc<Gate>>().cloned();
        let Some(gate) = gate else {
            tracing::error!("a route was mounted without the gate");
            return Err(Problem::internal());
        };
        gate.authenticator.caller(parts)
    }
}
