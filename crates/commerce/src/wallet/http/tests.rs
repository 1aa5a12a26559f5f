//! The wallet's routes on a store in memory: what old clients send and read, and what is refused at the door.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::amount::Won;
use crate::answer::{Answered, Keyed, StoreError};
use crate::clock::SystemClock;
use crate::http::Gate;
use crate::http::auth::Authenticator;
use crate::ids::{Allocator, EntryId, Range, Series, Source, UserId};
use crate::page::PageRequest;
use crate::wallet::{Charge, Charged, Entry, EntryKind, Refusal, Store, Wallets, http};

#[derive(Default)]
struct InMemory {
    entries: Mutex<HashMap<UserId, Vec<Entry>>>,
}

impl InMemory {
    fn of(&self, user: UserId) -> Vec<Entry> {
        self.entries.lock().get(&user).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Store for InMemory {
    async fn charge(
        &self,
        charge: Keyed<'_, Charge, Charged, Refusal>,
    ) -> Result<Answered, StoreError> {
        let command = &charge.command;
        let decided = command.decide(self.balance(command.user).await?);
        let outcome = decided.map(|balance_after| {
            let entry = Entry {
                id: EntryId::try_from(command.entry_id).unwrap(),
                kind: EntryKind::Charge,
                amount: command.amount.won().get(),
                balance_after,
                order_id: None,
                created_at: command.at,
            };
            let mut entries = self.entries.lock();
            entries.entry(command.user).or_default().insert(0, entry);
            Charged {
                user_id: command.user,
                charge_amount: command.amount.won(),
                balance_after_charge: balance_after,
            }
        });
        Ok(Answered::Fresh((charge.render)(&outcome)))
    }

    async fn balance(&self, user: UserId) -> Result<Won, StoreError> {
        let last = self.of(user).first().map(|entry| entry.balance_after);
        Ok(last.unwrap_or_default())
    }

    async fn history(&self, user: UserId, page: PageRequest) -> Result<Vec<Entry>, StoreError> {
        let entries = self.of(user).into_iter();
        Ok(entries.take(page.limit as usize + 1).collect())
    }
}

struct Counting;

#[async_trait]
impl Source for Counting {
    async fn reserve(&self, _: Series, count: u32) -> Result<Range, String> {
        Ok(Range {
            first: 1,
            end: 1 + i64::from(count),
        })
    }
}

fn routes() -> axum::Router {
    let ids = Arc::new(Allocator::new(Arc::new(Counting), 1_000));
    let wallets = Wallets::new(Arc::<InMemory>::default(), ids, Arc::new(SystemClock));
    let gate = Arc::new(Gate::new(Authenticator::Off, 1 << 20));
    let routes: axum::Router = http::router(Arc::new(wallets)).into();
    routes.layer(axum::Extension(gate))
}

async fn send(routes: &axum::Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

const CHARGE: &str = "/api/users/balance/charge";

#[tokio::test]
async fn a_wallet_is_charged_and_shown() {
    let routes = routes();
    let (status, balance) = send(&routes, "GET", "/api/users/balance?userId=7", "").await;
    assert_eq!((status, balance), (200, json!({"userId": 7, "balance": 0})));
    let (status, charged) = send(&routes, "POST", CHARGE, r#"{"userId":7,"amount":500}"#).await;
    let expected = json!({"userId": 7, "chargeAmount": 500, "balanceAfterCharge": 500});
    assert_eq!((status, charged), (200, expected));
    // Old clients name the user in the query.
    let path = format!("{CHARGE}?userId=7");
    let (status, charged) = send(&routes, "POST", &path, r#"{"amount":1000000}"#).await;
    assert_eq!(status, 200);
    assert_eq!(charged["balanceAfterCharge"], 1_000_500);
    let path = "/api/users/balance/history?userId=7&limit=1";
    let (status, page) = send(&routes, "GET", path, "").await;
    assert_eq!(status, 200);
    assert!(page["nextCursor"].is_string());
    let entry = &page["items"][0];
    let created_at = entry["createdAt"].clone();
    assert_eq!(
        *entry,
        json!({"id": 2, "kind": "CHARGE", "amount": 1_000_000, "balanceAfter": 1_000_500, "orderId": null, "createdAt": created_at})
    );
}

#[tokio::test]
async fn amounts_that_do_not_fit_name_the_field() {
    let routes = routes();
    for amount in ["0", "-1", "1000001", "1.5", "\"5\"", "null", "1e30"] {
        let body = format!(r#"{{"userId":7,"amount":{amount}}}"#);
        let (status, problem) = send(&routes, "POST", CHARGE, &body).await;
        assert_eq!(status, 400, "{amount}");
        assert_eq!(problem["code"], "validation", "{amount}");
        assert_eq!(problem["errors"][0]["pointer"], "/amount", "{amount}");
    }
    let (_, balance) = send(&routes, "GET", "/api/users/balance?userId=7", "").await;
    assert_eq!(balance["balance"], 0);
}

#[tokio::test]
async fn who_and_which_page_must_be_said_well() {
    let routes = routes();
    for (path, pointer) in [
        ("/api/users/balance", "?userId"),
        ("/api/users/balance?userId=x", "?userId"),
        ("/api/users/balance/history?userId=7&limit=0", "?limit"),
        ("/api/users/balance/history?userId=7&limit=x", "?limit"),
        ("/api/users/balance/history?userId=7&cursor=!", "?cursor"),
    ] {
        let (status, problem) = send(&routes, "GET", path, "").await;
        assert_eq!(status, 400, "{path}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}");
    }
}
