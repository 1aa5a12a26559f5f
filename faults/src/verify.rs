//! The shop held against the journal while the load is held: balances and orders of every shopper, answers that are repeated,
//! places and results.

use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::Value;

use crate::PATIENCE;
use crate::fleet::USERS;
use crate::journal::Told;
use crate::load::Shared;
use crate::shopper::{join, poll};

/// Keyed answers asked for again, and results looked at again, after each fault.
const REPEATS: usize = 20;
const RESULTS: usize = 20;
/// Shoppers whose whole list of orders is read after each fault.
const LISTS: usize = 4;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Sample,
    Everything,
}

/// # Errors
/// Every difference that the journal has by now.
pub async fn verify(shared: &Shared, depth: Depth, random: &mut fastrand::Rng) -> Result<()> {
    repeats(shared, depth, random).await;
    wallets(shared, depth, random).await?;
    places(shared, depth, random).await;
    let differences = shared
        .journal
        .with(|state| std::mem::take(&mut state.differences));
    if !differences.is_empty() {
        bail!("the journal differs:\n{}", differences.join("\n"));
    }
    Ok(())
}

/// The same key gets the same answer, marked as a repeat where it was stored.
async fn repeats(shared: &Shared, depth: Depth, random: &mut fastrand::Rng) {
    let mut told = shared.journal.with(|state| std::mem::take(&mut state.told));
    random.shuffle(&mut told);
    if depth == Depth::Sample {
        told.truncate(REPEATS);
    }
    for told in &told {
        match shared.final_answer(told).await {
            Ok(again) => {
                let replayed = again.header("idempotent-replayed") == "true";
                if again.status != told.status || again.text != told.answer || !replayed {
                    let what = format!(
                        "{} {} under key {} was answered {} {}, then {} {} (replayed: {replayed})",
                        told.method,
                        told.path,
                        told.key,
                        told.status,
                        told.answer,
                        again.status,
                        again.text
                    );
                    if is_stored(told) {
                        shared.journal.differs(what);
                    }
                }
            }
            Err(last) => shared
                .journal
                .differs(format!("no answer to a repeat: {last:#}")),
        }
    }
}

/// Refusals that were decided outside the transaction are not kept: asked again they are decided again.
fn is_stored(told: &Told) -> bool {
    let answer: Value = serde_json::from_str(&told.answer).unwrap_or(Value::Null);
    !(told.status == 409 && answer["code"] == "coupon-quota-too-low")
}

async fn wallets(shared: &Shared, depth: Depth, random: &mut fastrand::Rng) -> Result<()> {
    for user in 1..=USERS {
        let balance = shared
            .look(Method::GET, &format!("/api/users/balance?userId={user}"))
            .await?;
        let expected = shared
            .journal
            .with(|state| state.balances.get(&user).copied());
        if balance.json["balance"].as_i64() != expected {
            let what = format!(
                "balance of user {user}: expected {expected:?}, found {}",
                balance.text
            );
            shared.journal.differs(what);
        }
    }
    let mut users: Vec<u64> = (1..=USERS).collect();
    random.shuffle(&mut users);
    if depth == Depth::Sample {
        users.truncate(LISTS);
    }
    for user in users {
        let mut found = std::collections::BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/users/orders?userId={user}&limit=100{cursor}");
            let page = shared.look(Method::GET, &path).await?;
            let items = page.json["items"].as_array().cloned().unwrap_or_default();
            for order in &items {
                let cancelled = order["status"] == "CANCELLED";
                found.insert(order["id"].as_u64().unwrap_or(0), cancelled);
            }
            match page.json["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let expected = shared
            .journal
            .with(|state| state.orders.get(&user).cloned().unwrap_or_default());
        if found != expected {
            let missing: Vec<_> = expected
                .iter()
                .filter(|(id, c)| found.get(id) != Some(c))
                .collect();
            let extra: Vec<_> = found
                .iter()
                .filter(|(id, c)| expected.get(id) != Some(c))
                .collect();
            let what = format!(
                "orders of user {user} (id, cancelled): answered and not there {missing:?}, there and not answered {extra:?}"
            );
            shared.journal.differs(what);
        }
    }
    Ok(())
}

/// Every place comes to its end, and an end stays.
async fn places(shared: &Shared, depth: Depth, random: &mut fastrand::Rng) {
    let (mut open, mut ended) = (Vec::new(), Vec::new());
    shared.journal.with(|state| {
        for (key, place) in &state.places {
            match (&place.held, &place.failed) {
                (None, None) => open.push(*key),
                (Some(_), _) => ended.push(*key),
                (None, Some(_)) => {}
            }
        }
    });
    random.shuffle(&mut ended);
    if depth == Depth::Sample {
        ended.truncate(RESULTS);
    }
    for (coupon, user) in ended {
        if coupon != crate::fleet::DIRECT {
            poll(shared, coupon, user).await;
        }
    }
    for (coupon, user) in open {
        ends(shared, coupon, user).await;
    }
}

async fn ends(shared: &Shared, coupon: u64, user: u64) {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if poll(shared, coupon, user).await {
            let key = (coupon, user);
            let (failed, position, excused) = shared.journal.with(|state| {
                let place = state.places.entry(key).or_default();
                let excused = state.recovering
                    || place.recoveries != state.recoveries
                    || place.position.is_none();
                (place.failed.clone(), place.position, excused)
            });
            match failed.as_deref() {
                Some("coupon-queue-restarted") => {
                    if !excused {
                        shared.journal.differs(format!("place {position:?} of coupon {coupon} was given up for user {user}, and the queue was not restarted"));
                    }
                    // What the shopper is told to do.
                    shared.journal.with(|state| state.places.remove(&key));
                    join(shared, coupon, user).await;
                    if !shared.journal.with(|state| state.places.contains_key(&key)) {
                        return;
                    }
                }
                Some("coupon-sold-out") if !excused => {
                    shared.journal.differs(format!("user {user} had place {position:?} of coupon {coupon} and was told that it is sold out"));
                    return;
                }
                _ => return,
            }
        }
        if tokio::time::Instant::now() >= until {
            shared.journal.differs(format!(
                "the place of user {user} for coupon {coupon} comes to no end"
            ));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
