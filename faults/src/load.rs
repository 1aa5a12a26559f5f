//! The mixed load: shoppers who order, cancel and top up, shoppers who join and poll, and an operator, all at once, with a key
//! on everything that takes one. It can be held, so that what is looked at stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Client, Response};
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::task::JoinSet;

use crate::fleet::USERS;
use crate::journal::{Journal, Told};
use crate::{PATIENCE, operator, shopper};

/// Tasks of each kind.
const ORDERING: u64 = 6;
const JOINING: u64 = 4;
/// Between an unknown outcome and the repeat.
const REPEAT_MS: u64 = 40;

/// What the tasks share.
pub struct Shared {
    pub client: Client,
    pub journal: Journal,
    /// Held for reading by whoever is at work.
    gate: RwLock<()>,
    keys: AtomicU64,
    /// Campaigns to join, the newest last.
    pub campaigns: std::sync::Mutex<Vec<u64>>,
    pub next_joiner: AtomicU64,
    /// So that one run's keys are not another's.
    run: u64,
}

pub struct Load {
    pub shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Load {
    pub fn start(client: Client, campaigns: Vec<u64>, seed: u64) -> Load {
        let shared = Arc::new(Shared {
            client,
            journal: Journal::new(),
            gate: RwLock::new(()),
            keys: AtomicU64::new(1),
            campaigns: std::sync::Mutex::new(campaigns),
            next_joiner: AtomicU64::new(10_000),
            run: fastrand::u64(..),
        });
        let mut tasks = JoinSet::new();
        let random = |n: u64| fastrand::Rng::with_seed(seed.wrapping_mul(31).wrapping_add(n));
        for n in 0..ORDERING {
            let users: Vec<u64> = (1..=USERS).filter(|user| user % ORDERING == n).collect();
            tasks.spawn(shopper::orders(shared.clone(), users, random(n)));
        }
        for n in 0..JOINING {
            tasks.spawn(shopper::joins(shared.clone(), random(100 + n)));
        }
        tasks.spawn(operator::run(shared.clone(), random(200)));
        Load { shared, tasks }
    }

    /// Waits until every task has its last answer; until the guard is dropped none begins anything.
    ///
    /// # Errors
    /// A task has ended, or has no answer.
    pub async fn hold(&mut self) -> Result<tokio::sync::RwLockWriteGuard<'_, ()>> {
        if self.tasks.try_join_next().is_some() {
            bail!("a task of the load ended by itself");
        }
        let held = tokio::time::timeout(PATIENCE, self.shared.gate.write()).await;
        held.context("a client has waited too long for its answer")
    }
}

impl Shared {
    /// To be held through one piece of work, which ends with an answer.
    pub async fn turn(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    pub fn key(&self) -> String {
        let number = self.keys.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{number}", self.run)
    }

    /// Asks under a key until there is a final answer, and journals it; `None` when there was none in time.
    pub async fn ask(&self, user: u64, method: Method, path: &str, body: Value) -> Option<Value> {
        let mut told = Told {
            key: self.key(),
            method,
            path: path.to_owned(),
            body,
            status: 0,
            answer: String::new(),
        };
        let answer = match self.final_answer(&told).await {
            Ok(answer) => answer,
            Err(last) => {
                self.journal
                    .differs(format!("no final answer to {told:?}: {last:#}"));
                return None;
            }
        };
        told.status = answer.status;
        told.answer = answer.text;
        self.journal.told(user, told);
        (answer.status < 300).then_some(answer.json)
    }

    /// # Errors
    /// What was seen last, when nothing final came in time.
    pub async fn final_answer(&self, told: &Told) -> Result<Response> {
        let body = told.body.to_string().into_bytes();
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let headers = [
                ("idempotency-key", told.key.as_str()),
                ("content-type", "application/json"),
            ];
            let sent = self
                .client
                .send(
                    told.method.clone(),
                    &told.path,
                    &headers,
                    Some(body.clone()),
                )
                .await;
            let last = match sent {
                Ok(answer) if !is_open(&answer) => return Ok(answer),
                Ok(answer) => anyhow::anyhow!("{} {}", answer.status, answer.text),
                Err(error) => error,
            };
            if tokio::time::Instant::now() >= until {
                return Err(last);
            }
            tokio::time::sleep(Duration::from_millis(REPEAT_MS)).await;
        }
    }

    /// Asks without a key, until the shop can answer.
    pub async fn look(&self, method: Method, path: &str) -> Result<Response> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let body = (method == Method::POST).then(|| json!({}).to_string().into_bytes());
            let headers = [("content-type", "application/json")];
            let sent = self.client.send(method.clone(), path, &headers, body).await;
            let last = match sent {
                Ok(answer) if !is_open(&answer) => return Ok(answer),
                Ok(answer) => anyhow::anyhow!("{} {}", answer.status, answer.text),
                Err(error) => error,
            };
            if tokio::time::Instant::now() >= until {
                return Err(last.context(path.to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(REPEAT_MS)).await;
        }
    }
}

/// Whether the outcome is open: the shop asks to come again, or the request is still in hand.
fn is_open(answer: &Response) -> bool {
    let in_flight = answer.status == 409 && answer.json["code"] == "idempotency-in-flight";
    in_flight || matches!(answer.status, 429 | 503)
}
