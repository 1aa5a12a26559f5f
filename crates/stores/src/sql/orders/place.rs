//! The placing transaction: records, locks, decisions, writes. A key that another process took meanwhile, and a COMMIT
//! without an answer, are settled here; the batch that asked sees only answers, or that nothing was done.

use std::collections::HashMap;
use std::time::Duration;

use commerce::answer::{Answer, Answered, Claim, StoreError};
use commerce::order::{Batch, Decision, Pending, Placed, Placement};
use messaging::outbox::{Packing, Row};
use parking_lot::Mutex;
use sea_orm::ConnectionTrait;

use super::{load, write};
use crate::sql::dialect::{list, padded};
use crate::sql::idempotency::{self, Failure, Record};
use crate::sql::reads::Reads;
use crate::sql::writes::Writes;
use crate::sql::{Database, Dialect, Error, Transaction, outbox, within};

/// How often a batch is decided again because a key was taken or a COMMIT came to nothing.
const ROUNDS_MAX: u32 = 6;
/// How often the database is asked whether a COMMIT without an answer happened.
const ASKED_MAX: u32 = 5;
const ASK_AGAIN_MS: u64 = 200;

/// The answers, and the outbox rows written with them.
type Done = (Vec<Placed>, Vec<Row>);

pub(super) async fn place(
    db: &Database,
    packing: Packing,
    batch: Batch<'_>,
) -> Result<Done, StoreError> {
    let mut round = 1;
    loop {
        let undecided = Mutex::new(None);
        let failure = match once(db, packing, batch, &undecided).await {
            Ok(()) => return undecided.into_inner().ok_or_else(no_answers),
            Err(failure) => failure,
        };
        match &failure {
            Failure::Taken => {}
            Failure::Sql(Error::OutcomeUnknown(cause)) => {
                let done = undecided.into_inner().ok_or_else(no_answers)?;
                tracing::warn!(%cause, orders = batch.orders.len(), "a COMMIT of orders got no answer");
                match happened(db, &done.0).await {
                    Ok(true) => return Ok(done),
                    Ok(false) => {}
                    Err(_) => return Err(failure.into()),
                }
            }
            Failure::Sql(_) => return Err(failure.into()),
        }
        if round >= ROUNDS_MAX {
            return Err(failure.into());
        }
        round += 1;
    }
}

fn no_answers() -> StoreError {
    StoreError::Failed("a batch came to its commit without answers".into())
}

/// One transaction. What it decided is left in `decided`, also when the COMMIT gets no answer.
async fn once(
    db: &Database,
    packing: Packing,
    batch: Batch<'_>,
    decided: &Mutex<Option<Done>>,
) -> Result<(), Failure> {
    let dialect = db.dialect();
    within(db, "sql.order-place", |tx, _| {
        Box::pin(async move {
            let done = carry_out(tx, dialect, packing, batch).await?;
            *decided.lock() = Some(done);
            Ok(())
        })
    })
    .await
}

async fn carry_out(
    tx: &Transaction,
    dialect: Dialect,
    packing: Packing,
    batch: Batch<'_>,
) -> Result<Done, Failure> {
    let scopes = batch.orders.iter().filter_map(|o| o.claim.as_ref());
    let scopes: Vec<_> = scopes.map(|claim| claim.scope).collect();
    let mut reads = Reads::new(dialect);
    let recorded = idempotency::ask(&mut reads, &scopes);
    // Also what repeated requests would touch: which they are is in the same answers.
    let touched = load::ask(&mut reads, dialect, batch.orders);
    let answers = reads.ask(tx).await?;
    let records = idempotency::found(&answers, recorded)?;
    let known = |order: &Pending| {
        let claim = order.claim.as_ref();
        claim.is_some_and(|claim| records.contains_key(&claim.scope))
    };
    let fresh: Vec<&Pending> = batch.orders.iter().filter(|o| !known(o)).collect();
    let snapshot = load::snapshot(tx, dialect, &answers, touched).await?;
    let decisions = (batch.decide)(&snapshot, &fresh);
    if decisions.len() != fresh.len() {
        return Err(Error::Other("decisions do not match orders".into()).into());
    }

    let placed: Vec<&Placement> = decisions.iter().flatten().collect();
    let mut effect = Writes::new(dialect);
    let owes = batch.outlet.follow_ups().owes();
    write::placements(&mut effect, &placed, owes);
    let told = |writes: &mut Writes| Told::of(writes, packing, &batch, &fresh, &decisions);
    let Told { rows, answers } = match tx {
        // The thread that writes is at it while this one makes the rest.
        Transaction::File(_) => {
            let mut rest = Writes::new(dialect);
            let (written, told) = futures::join!(effect.send(tx), async { told(&mut rest) });
            written?;
            let told = told?;
            rest.send(tx).await.map_err(idempotency::taken)?;
            told
        }
        Transaction::Pooled(_) => {
            let told = told(&mut effect)?;
            effect.send(tx).await.map_err(idempotency::taken)?;
            told
        }
    };
    for placement in placed {
        let step = batch.outlet.before_commit(&placement.turn).await;
        step.map_err(|cause| Failure::Sql(Error::CalledOff(cause)))?;
    }
    batch.turnstile.pass();
    let fresh = decisions.into_iter().zip(answers);
    Ok((in_order(batch.orders, records, fresh), rows))
}

/// What others are told of a batch: the outbox by its events, whoever repeats a request by the records of keys.
struct Told {
    rows: Vec<Row>,
    answers: Vec<Answer>,
}

impl Told {
    fn of(
        writes: &mut Writes,
        packing: Packing,
        batch: &Batch<'_>,
        fresh: &[&Pending],
        decisions: &[Decision],
    ) -> Result<Self, Error> {
        let placed = decisions.iter().flatten();
        let events = placed.flat_map(|p| batch.outlet.events(&p.turn));
        let rows = packing.rows(events.collect());
        outbox::write_rows(writes, &rows)?;
        let answers: Vec<Answer> = decisions.iter().map(batch.render).collect();
        let claimed = fresh.iter().zip(&answers);
        let claimed: Vec<_> = claimed
            .filter_map(|(order, answer)| Some((order.claim.as_ref()?, answer)))
            .collect();
        idempotency::write(writes, &claimed);
        Ok(Self { rows, answers })
    }
}

/// An answer for every order: from its record where there is one, else the next fresh one.
fn in_order(
    orders: &[Pending],
    records: HashMap<[u8; 32], Record>,
    fresh: impl Iterator<Item = (Decision, Answer)>,
) -> Vec<Placed> {
    let mut fresh = fresh;
    let recorded = |claim: &Claim| {
        let record = records.get(&claim.scope)?;
        Some(record.clone().answered(claim))
    };
    let answered = orders
        .iter()
        .map_while(|order| match order.claim.as_ref().and_then(recorded) {
            Some(answered) => Some(Placed {
                answered,
                decision: None,
            }),
            None => fresh.next().map(|(decision, answer)| Placed {
                answered: Answered::Fresh(answer),
                decision: Some(decision),
            }),
        });
    answered.collect()
}

/// Whether the transaction of a COMMIT without an answer happened. The locking read waits for it if it is still at work;
/// if the orders are not there then, it can no longer commit.
async fn happened(db: &Database, placed: &[Placed]) -> Result<bool, Error> {
    let decisions = placed.iter().filter_map(|p| p.decision.as_ref());
    let orders = decisions.flatten().map(|p| p.turn.order.id.get());
    let ids = &padded(&orders.collect::<Vec<_>>());
    if ids.is_empty() {
        // Refusals only: deciding again does no harm, and finds their records if they are there.
        return Ok(false);
    }
    let mut asked = 1;
    loop {
        match find_locked(db, ids).await {
            Err(Error::Unavailable(_)) if asked < ASKED_MAX => {
                asked += 1;
                tokio::time::sleep(Duration::from_millis(ASK_AGAIN_MS)).await;
            }
            answer => return answer,
        }
    }
}

async fn find_locked(db: &Database, ids: &[i64]) -> Result<bool, Error> {
    let dialect = db.dialect();
    within(db, "sql.order-settle", |tx, _| {
        Box::pin(async move {
            let sql = format!(
                "SELECT id FROM orders{} WHERE id IN ({}) ORDER BY id{}",
                dialect.force_primary(),
                list(ids.len()),
                dialect.for_update()
            );
            let values = ids.iter().map(|id| (*id).into()).collect();
            let rows = tx.query_all_raw(dialect.statement(sql, values)).await?;
            Ok(!rows.is_empty())
        })
    })
    .await
}
