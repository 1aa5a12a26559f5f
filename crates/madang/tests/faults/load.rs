//! A mixed load: orders, cancels, top-ups, joins and looks from some hands at once, each noting what it was told.
//! What is not told (no connection, 503, 429) is noted as such and settled afterwards by `settle`.
//! Used by the tests of this folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::{Client, Response, eventually};
use tokio::task::JoinSet;

use crate::whole::stage::{PATIENCE, one_line};

/// Each hand orders for users of its own, whose balances are therefore known afterwards.
const USERS_A_HAND: u64 = 25;
pub const TOP_UP: i64 = 500;
pub const COUPON: u64 = 1;

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub hands: u64,
    /// Between two rounds of a hand.
    pub pause: Duration,
}

impl Plan {
    /// Enough to have something of each kind on its way at any time; some hundred requests a second.
    pub const STEADY: Plan = Plan {
        hands: 8,
        pause: Duration::from_millis(40),
    };
    /// For a fault that lasts a minute.
    pub const LONG: Plan = Plan {
        hands: 8,
        pause: Duration::from_millis(150),
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Order,
    Cancel,
    TopUp,
}

/// A command with a key, and what was said to it.
#[derive(Clone, Debug)]
pub struct Command {
    pub kind: Kind,
    pub user: u64,
    pub path: String,
    pub key: String,
    pub body: Value,
    pub heard: Heard,
    pub asked: Instant,
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer that a repeat must be given too.
    Said { status: u16, text: String },
    /// To be asked again.
    Later(u16),
    /// The connection broke.
    Nothing,
}

/// Who joined, and at which place; `None`: it is not known whether.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    pub user: u64,
    pub place: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Journal {
    pub commands: Vec<Command>,
    pub joins: Vec<Joined>,
    /// Answers that nothing explains.
    pub unexpected: Vec<String>,
}

/// How far the load has come.
#[derive(Debug, Default)]
pub struct Meter {
    pub orders: AtomicU64,
    pub places: AtomicU64,
    /// Joins that were told to come later.
    pub joins_later: AtomicU64,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    meter: Arc<Meter>,
    hands: JoinSet<Journal>,
}

impl Load {
    pub fn start(client: &Client, plan: Plan) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let meter = Arc::new(Meter::default());
        let mut hands = JoinSet::new();
        for number in 0..plan.hands {
            let hand = Hand {
                client: client.clone(),
                number,
                meter: meter.clone(),
                journal: Journal::default(),
            };
            hands.spawn(hand.work(plan.pause, stop.clone()));
        }
        Load { stop, meter, hands }
    }

    /// Waits until so many more orders have been taken.
    pub async fn more_orders(&self, count: u64) {
        self.more(&self.meter.orders, count, "orders are taken")
            .await;
    }

    pub async fn more_places(&self, count: u64) {
        self.more(&self.meter.places, count, "places are given")
            .await;
    }

    pub async fn more_joins_later(&self, count: u64) {
        self.more(&self.meter.joins_later, count, "joins are put off")
            .await;
    }

    async fn more(&self, counter: &AtomicU64, count: u64, what: &str) {
        let wanted = counter.load(Ordering::Relaxed) + count;
        eventually(PATIENCE, what, async || {
            let now = counter.load(Ordering::Relaxed);
            ensure!(now >= wanted, "{now} of {wanted}");
            Ok(())
        })
        .await;
    }

    /// Lets each hand end its round.
    pub async fn stop(self) -> Journal {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Journal::default();
        for part in self.hands.join_all().await {
            all.commands.extend(part.commands);
            all.joins.extend(part.joins);
            all.unexpected.extend(part.unexpected);
        }
        all
    }
}

impl Journal {
    /// How long orders took that were asked for between the two and answered 201, sorted.
    pub fn order_times(&self, from: Instant, to: Instant) -> Vec<Duration> {
        let placed = |c: &&Command| {
            let said = matches!(c.heard, Heard::Said { status: 201, .. });
            said && c.kind == Kind::Order && c.asked >= from && c.asked + c.took <= to
        };
        let mut times: Vec<_> = self
            .commands
            .iter()
            .filter(placed)
            .map(|c| c.took)
            .collect();
        times.sort();
        times
    }

    /// Orders asked for between the two that were not answered at once.
    pub fn orders_put_off(&self, from: Instant, to: Instant) -> usize {
        let put_off = |c: &&Command| {
            let said = matches!(c.heard, Heard::Said { .. });
            !said && c.kind == Kind::Order && c.asked >= from && c.asked + c.took <= to
        };
        self.commands.iter().filter(put_off).count()
    }
}

struct Hand {
    client: Client,
    number: u64,
    meter: Arc<Meter>,
    journal: Journal,
}

impl Hand {
    async fn work(mut self, pause: Duration, stop: Arc<AtomicBool>) -> Journal {
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.round(round).await;
            tokio::time::sleep(pause).await;
        }
        self.journal
    }

    async fn round(&mut self, round: u64) {
        let user = self.number * USERS_A_HAND + round % USERS_A_HAND + 1;
        let body = one_line(user, round % 5 + 1, 1);
        let order = self
            .command(Kind::Order, user, "/api/orders".into(), body, round)
            .await;
        if let Some(id) = &order {
            self.meter.orders.fetch_add(1, Ordering::Relaxed);
            if round.is_multiple_of(3) {
                self.look(&format!("/api/orders/{id}?userId={user}")).await;
            }
            if round % 4 == 3 {
                let path = format!("/api/orders/{id}/cancel?userId={user}");
                self.command(Kind::Cancel, user, path, json!({}), round)
                    .await;
            }
        }
        if round % 4 == 1 {
            let path = "/api/users/balance/charge".into();
            let body = json!({"userId": user, "amount": TOP_UP});
            self.command(Kind::TopUp, user, path, body, round).await;
        }
        if round.is_multiple_of(2) {
            self.join(100_000 * (self.number + 1) + round).await;
        }
    }

    /// Asks once; the id of the order where one was placed.
    async fn command(
        &mut self,
        kind: Kind,
        user: u64,
        path: String,
        body: Value,
        round: u64,
    ) -> Option<String> {
        let key = format!("{kind:?}-{}-{round}", self.number);
        let asked = Instant::now();
        let answer = ask(&self.client, &path, &key, &body).await;
        let heard = match &answer {
            Ok(answer) => heard(answer),
            Err(_) => Some(Heard::Nothing),
        };
        let id = answer.as_ref().ok().and_then(|it| it.json["id"].as_u64());
        let placed = matches!(heard, Some(Heard::Said { status: 201, .. }));
        match (heard, &answer) {
            (Some(heard), _) => self.journal.commands.push(Command {
                kind,
                user,
                path,
                key,
                body,
                heard,
                asked,
                took: asked.elapsed(),
            }),
            (None, answer) => self.unexpected(&key, answer),
        }
        id.filter(|_| placed).map(|id| id.to_string())
    }

    async fn join(&mut self, user: u64) {
        let path = format!("/api/coupons/{COUPON}/issue?userId={user}");
        let answer = self.client.post(&path, &json!({})).await;
        let place = match &answer {
            Ok(answer) if answer.status == 202 => {
                self.meter.places.fetch_add(1, Ordering::Relaxed);
                answer.json["queuePosition"].as_u64()
            }
            Ok(answer) if answer.status == 503 && !answer.header("retry-after").is_empty() => {
                self.meter.joins_later.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(_) => None,
            Ok(_) => return self.unexpected(&format!("join {user}"), &answer),
        };
        self.journal.joins.push(Joined { user, place });
        if place.is_some() {
            self.look(&format!("/api/coupons/{COUPON}/issue/status?userId={user}"))
                .await;
        }
    }

    /// What was answered just now must be found, unless nobody can look.
    async fn look(&mut self, path: &str) {
        let answer = self.client.get(path).await;
        let restarted = answer
            .as_ref()
            .is_ok_and(|it| it.json["code"] == "coupon-not-joined");
        match &answer {
            Ok(it) if !matches!(it.status, 200 | 503 | 429) && !restarted => {
                self.unexpected(path, &answer);
            }
            _ => {}
        }
    }

    fn unexpected(&mut self, what: &str, answer: &Result<Response>) {
        let said = match answer {
            Ok(answer) => format!("{} {}", answer.status, answer.text),
            Err(error) => format!("{error:#}"),
        };
        self.journal.unexpected.push(format!("{what}: {said}"));
    }
}

pub async fn ask(client: &Client, path: &str, key: &str, body: &Value) -> Result<Response> {
    let headers = [("idempotency-key", key)];
    client.post_with(path, &headers, body).await
}

/// `None`: an answer that no fault explains.
pub fn heard(answer: &Response) -> Option<Heard> {
    match answer.status {
        429 | 503 => Some(Heard::Later(answer.status)),
        409 if answer.json["code"] == "idempotency-in-flight" => Some(Heard::Later(409)),
        200 | 201 | 404 | 409 => Some(Heard::Said {
            status: answer.status,
            text: answer.text.clone(),
        }),
        _ => None,
    }
}
