//! The journal of a load held against the shop afterwards: every answer again under its key, every order, every balance to the
//! won, every place. What was never answered is asked until it is. Then the audit.
//! Used by the tests of this folder.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use futures::StreamExt;
use serde_json::{Value, json};
use testkit::{Client, eventually};

use crate::load::{COUPON, Command, Heard, Joined, Journal, Kind, TOP_UP, ask, heard};
use crate::whole::stage::{PATIENCE, Stage, balance};

const HANDS: usize = 12;
const SEEDED_BALANCE: i64 = 1_000_000;
const PRICE: i64 = 1_000;

/// What may have happened to places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// Nothing: each is as it was told, and unique.
    Kept,
    /// The queue lost its memory: some who waited have to join again.
    Lost,
}

/// Settles all, then audits.
pub async fn check(stage: &Stage, client: &Client, journal: Journal, places: Places) {
    assert!(
        journal.unexpected.is_empty(),
        "{} answers that nothing explains, such as {:?}",
        journal.unexpected.len(),
        &journal.unexpected[..journal.unexpected.len().min(5)]
    );
    assert!(!journal.commands.is_empty(), "a load without a command");
    let settled = spread(client, journal.commands, settle).await;
    balances(client, &settled).await;
    let joins = journal.joins.into_iter().map(|joined| (joined, places));
    let found = spread(client, joins.collect(), result).await;
    if places == Places::Kept {
        let all: BTreeSet<u64> = found.iter().flatten().copied().collect();
        assert_eq!(all.len(), found.iter().flatten().count(), "a place twice");
    }
    stage.audit().await;
}

async fn spread<T, R, F>(client: &Client, items: Vec<T>, each: fn(Client, T) -> F) -> Vec<R>
where
    F: Future<Output = R>,
{
    futures::stream::iter(items)
        .map(|item| each(client.clone(), item))
        .buffer_unordered(HANDS)
        .collect()
        .await
}

/// The command's kind, user and final status.
async fn settle(client: Client, command: Command) -> (Kind, u64, u16) {
    let what = format!("{} is answered: {:?}", command.key, command.heard);
    let again = eventually(PATIENCE, &what, async || {
        let answer = ask(&client, &command.path, &command.key, &command.body).await?;
        match heard(&answer) {
            Some(Heard::Said { .. }) => Ok(answer),
            _ => anyhow::bail!("{} {}", answer.status, answer.text),
        }
    })
    .await;
    if let Heard::Said { status, text } = &command.heard {
        let said = (again.status, again.text.as_str());
        assert_eq!(said, (*status, text.as_str()), "{}", command.key);
        assert_eq!(
            again.header("idempotent-replayed"),
            "true",
            "{}",
            command.key
        );
    }
    if command.kind == Kind::Order && again.status == 201 {
        let id = &again.json["id"];
        let path = format!("/api/orders/{id}?userId={}", command.user);
        let order = client.get(&path).await.expect("an answer").expect(200);
        assert_eq!(&order.json["id"], id);
    }
    (command.kind, command.user, again.status)
}

async fn balances(client: &Client, settled: &[(Kind, u64, u16)]) {
    let mut expected: BTreeMap<u64, i64> = BTreeMap::new();
    for (kind, user, status) in settled {
        let balance = expected.entry(*user).or_insert(SEEDED_BALANCE);
        *balance += match (kind, status) {
            (Kind::Order, 201) => -PRICE,
            (Kind::Cancel, 200) => PRICE,
            (Kind::TopUp, 200) => TOP_UP,
            _ => 0,
        };
    }
    for (user, expected) in expected {
        assert_eq!(balance(client, user).await, expected, "user {user}");
    }
}

/// Waits for the joiner's result; the place that it names.
async fn result(client: Client, (joined, places): (Joined, Places)) -> Option<u64> {
    let Joined { user, place } = joined;
    let status = format!("/api/coupons/{COUPON}/issue/status?userId={user}");
    let join = format!("/api/coupons/{COUPON}/issue?userId={user}");
    let what = format!("user {user} at place {place:?} has a result");
    let standing: Value = eventually(PATIENCE, &what, async || {
        let answer = client.get(&status).await?;
        let restarted = answer.json["code"] == "coupon-queue-restarted";
        // Whoever was never told a place, and whoever is told that the queue began anew, asks again.
        let may_join = place.is_none() || places == Places::Lost;
        if may_join && (answer.status == 404 || restarted) {
            let joined = client.post(&join, &json!({})).await?;
            anyhow::bail!("joined again: {} {}", joined.status, joined.text);
        }
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
        ensure!(answer.json["status"] != "PROCESSING", "{}", answer.text);
        Ok(answer.json)
    })
    .await;
    assert_eq!(standing["status"], "SUCCESS", "user {user}: {standing}");
    let now = standing["queuePosition"].as_u64();
    if places == Places::Kept
        && let Some(place) = place
    {
        let now = now.with_context(|| format!("user {user} has lost its place {place}"));
        assert_eq!(now.expect("a place"), place, "user {user}");
    }
    now
}
