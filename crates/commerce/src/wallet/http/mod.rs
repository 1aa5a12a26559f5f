//! The wallet's routes: top-up, balance, ledger. Mounted by the binary.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ChargeAmount, Charged, Entry, Refusal, Wallets};
use crate::amount::Won;
use crate::answer::{Answer, Answered};
use crate::http::{Caller, Command, Problem, QueryOf};
use crate::ids::UserId;
use crate::page::{Page, PageQuery};

pub fn router(wallets: Arc<Wallets>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(charge))
        .routes(routes!(balance))
        .routes(routes!(history))
        .with_state(wallets)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChargeRequest, example = json!({"amount": 50_000}))]
struct ChargeBody {
    /// The caller's own; an operator may name another.
    user_id: Option<UserId>,
    amount: ChargeAmount,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Balance {
    user_id: UserId,
    balance: Won,
}

/// How a top-up's outcome is told, and told again.
pub(super) fn charge_answer(outcome: &Result<Charged, Refusal>) -> Answer {
    match outcome {
        Ok(charged) => Answer {
            status: 200,
            location: None,
            // A struct of numbers always serializes.
            body: Bytes::from(serde_json::to_vec(charged).unwrap_or_default()),
        },
        Err(Refusal::BalanceLimit { balance }) => Problem::new(
            409,
            "balance-limit",
            format!("the balance of {balance} has no room for this amount"),
        )
        .to_answer(),
    }
}

/// Top up a wallet
#[utoipa::path(
    post,
    path = "/api/users/balance/charge",
    tag = "wallet",
    params(
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the same answer."),
    ),
    request_body = ChargeBody,
    responses(
        (status = 200, description = "Charged", body = Charged),
        (status = 400, description = "`validation`, `malformed-json`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`balance-limit`, `idempotency-in-flight`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`payload-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `outcome-unknown`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn charge(
    State(wallets): State<Arc<Wallets>>,
    command: Command<ChargeBody>,
) -> Result<Answered, Problem> {
    let user = command.caller.user(command.value.user_id)?;
    let amount = command.value.amount;
    Ok(wallets.charge(user, amount, command.claim.as_ref()).await?)
}

/// The balance of a wallet
#[utoipa::path(
    get,
    path = "/api/users/balance",
    tag = "wallet",
    params(("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another.")),
    responses(
        (status = 200, description = "The balance", body = Balance),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn balance(
    State(wallets): State<Arc<Wallets>>,
    caller: Caller,
) -> Result<Json<Balance>, Problem> {
    let user_id = caller.user(None)?;
    let balance = wallets.balance(user_id).await?;
    Ok(Json(Balance { user_id, balance }))
}

/// A wallet's ledger, newest first
#[utoipa::path(
    get,
    path = "/api/users/balance/history",
    tag = "wallet",
    params(
        PageQuery,
        ("userId" = Option<UserId>, Query, description = "The caller's own; an operator may name another."),
    ),
    responses(
        (status = 200, description = "A page of entries", body = Page<Entry>),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn history(
    State(wallets): State<Arc<Wallets>>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<Page<Entry>>, Problem> {
    let user = caller.user(None)?;
    let page = query
        .check()
        .map_err(|(name, detail)| Problem::field(format!("?{name}"), detail))?;
    Ok(Json(wallets.history(user, page).await?))
}
