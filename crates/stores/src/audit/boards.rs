//! I6: each day's board equals a recount of the orders table. The recounts are taken first; then all that was committed before
//! arrives on the boards; then each board is compared with its recount in one step, in which newer events count on both sides.
//! What foreign events count for is no difference; it is said.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use commerce::ranking::Rankings;
use commerce::ranking::ports::{Comparison, Error as BoardError, Shadow};
use jiff::civil::Date;
use tokio::time::Instant;

use super::{Check, Difference, Error, Settings};

/// How the audit knows that events have come to the boards; it sees no event log itself.
#[async_trait]
pub trait Arrival: Send + Sync {
    /// Waits until every event committed before this call counts on the boards; false when it is given up.
    async fn on_boards(&self) -> bool;
}

/// Nothing is on its way.
pub struct Still;

#[async_trait]
impl Arrival for Still {
    async fn on_boards(&self) -> bool {
        true
    }
}

/// The boards, and how to wait for what they lack.
#[derive(Clone, Copy)]
pub struct Boards<'a> {
    pub rankings: &'a Rankings,
    pub arrival: &'a dyn Arrival,
}

/// `None`: what is on its way did not arrive in time, or a board is being rebuilt just now, so nothing can be said.
pub async fn check(boards: Boards<'_>, settings: &Settings) -> Result<Option<Check>, Error> {
    let rankings = boards.rankings;
    let every = Duration::from_millis(settings.keep_every_ms.max(1));
    let mut held = Held {
        rankings,
        every,
        due: Instant::now() + every,
        recounts: VecDeque::new(),
    };
    let mut arrive = true;
    for day in rankings.known_days().await? {
        match held.during(rankings.recount(day)).await? {
            Ok(recount) => held.recounts.push_back((day, recount)),
            Err(BoardError::Rebuilding(_)) => {
                arrive = false;
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !arrive || !held.during(boards.arrival.on_boards()).await? {
        for (_, recount) in held.recounts {
            rankings.discard(recount).await?;
        }
        return Ok(None);
    }
    let mut check = Check::new("I6", "ranking boards");
    while let Some((day, recount)) = held.recounts.pop_front() {
        let compared = rankings.compare(recount, settings.listed_max);
        tell(&mut check, day, &held.during(compared).await??, settings);
    }
    Ok(Some(check))
}

fn tell(check: &mut Check, day: Date, compared: &Comparison, settings: &Settings) {
    check.examined += compared.products;
    check.differences += compared.different;
    if compared.different > 0 {
        check.days.push(day);
    }
    let room = settings.listed_max.saturating_sub(check.listed.len());
    let listed = compared.differences.iter().take(room);
    check.listed.extend(listed.map(|d| Difference {
        subject: format!("board of {day}, product {}", d.product),
        expected: format!("{} sold for {}", d.expected_score, d.expected_amount),
        found: format!("{} sold for {}", d.found_score, d.found_amount),
    }));
    if compared.foreign != 0 {
        let foreign = compared.foreign;
        check.remarks.push(format!(
            "board of {day}: {foreign} pieces from foreign events"
        ));
    }
}

/// Recounts that wait to be compared. A day of millions of orders takes longer to recount than a lease, and so may what is on its way.
struct Held<'a> {
    rankings: &'a Rankings,
    every: Duration,
    /// When their leases are renewed next, whatever is awaited then.
    due: Instant,
    recounts: VecDeque<(Date, Shadow)>,
}

impl Held<'_> {
    /// What is awaited, while their leases are renewed: `every` after the last time, however long that took.
    ///
    /// What is awaited goes on meanwhile: it may have the connection that a renewal waits for.
    async fn during<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, BoardError> {
        let mut awaited = std::pin::pin!(awaited);
        loop {
            tokio::select! {
                done = &mut awaited => return Ok(done),
                () = tokio::time::sleep_until(self.due) => {}
            }
            let mut kept = std::pin::pin!(self.keep());
            tokio::select! {
                done = &mut awaited => return kept.await.map(|()| done),
                kept = &mut kept => kept?,
            }
        }
    }

    async fn keep(&mut self) -> Result<(), BoardError> {
        for (_, recount) in &mut self.recounts {
            self.rankings.keep(recount).await?;
        }
        self.due = Instant::now() + self.every;
        Ok(())
    }
}
