//! A day's board counted anew from the orders table while events keep coming: a shadow is opened, from then on entries
//! count in it too, a snapshot of the database is fed into it, and it takes the board's place in one step.
//! A rebuilder that dies leaves a shadow whose lease runs out; the next one starts over.

use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::Rankings;
use super::ports::{Comparison, Error, Shadow};
use crate::answer::StoreError;

/// Between two looks at a board that another rebuilds.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What `rebuild_all` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuilt {
    pub days: u64,
    /// Sales and cancels counted.
    pub events: u64,
}

impl Rankings {
    /// Rebuilds one day; the number of events counted.
    ///
    /// # Errors
    /// `Rebuilding` while another rebuilds it, `Unavailable` when board or database cannot be reached; the board stays as it was.
    pub async fn rebuild(&self, day: Date) -> Result<u64, Error> {
        let (shadow, events) = self.fed(day).await?;
        self.ports.board.flip(shadow).await?;
        tracing::info!(%day, events, "ranking board rebuilt");
        metrics::counter!("madang_ranking_rebuilds_total").increment(1);
        Ok(events)
    }

    /// As `rebuild`, after whoever rebuilds it now: their recount may be older than what the caller knows.
    ///
    /// # Errors
    /// As `rebuild`; `Rebuilding` when others were at it for all of `rebuild_wait_ms`.
    pub async fn rebuild_in_turn(&self, day: Date) -> Result<u64, Error> {
        let until = Instant::now() + Duration::from_millis(self.settings.rebuild_wait_ms);
        loop {
            match self.rebuild(day).await {
                Err(Error::Rebuilding(_)) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                rebuilt => return rebuilt,
            }
        }
    }

    /// Rebuilds every day that may have a board, and forgets how far the partitions counted: the recount holds all of it.
    ///
    /// # Errors
    /// As `rebuild_in_turn`; the days before the failure are done.
    pub async fn rebuild_all(&self) -> Result<Rebuilt, Error> {
        self.ports.board.forget_places().await?;
        let mut rebuilt = Rebuilt::default();
        for day in self.calendar.kept(self.now()) {
            rebuilt.events += self.rebuild_in_turn(day).await?;
            rebuilt.days += 1;
        }
        Ok(rebuilt)
    }

    /// A recount of one day to hold its board against: events that come from now on count in both. What was committed before
    /// and has not come yet is in the recount alone: wait for it, `keep` the recount meanwhile, then `compare`.
    ///
    /// # Errors
    /// As `rebuild`.
    pub async fn recount(&self, day: Date) -> Result<Shadow, Error> {
        Ok(self.fed(day).await?.0)
    }

    /// Renews the right to a recount; to be called at least once a lease.
    ///
    /// # Errors
    /// `Lost` when it ran out before.
    pub async fn keep(&self, recount: &mut Shadow) -> Result<(), Error> {
        self.ports.board.feed(recount, &[]).await
    }

    /// Holds the day's board against the recount, while events keep coming. At most `max` differences are listed.
    ///
    /// # Errors
    /// Those of the board.
    pub async fn compare(&self, recount: Shadow, max: usize) -> Result<Comparison, Error> {
        self.ports.board.compare(recount, max).await
    }

    /// Gives the right to a recount back, so that the next who wants one need not wait for its lease.
    ///
    /// # Errors
    /// Those of the board.
    pub async fn discard(&self, recount: Shadow) -> Result<(), Error> {
        self.ports.board.discard(recount).await
    }

    /// Days that have a board.
    ///
    /// # Errors
    /// Those of the board.
    pub async fn known_days(&self) -> Result<Vec<Date>, Error> {
        let kept = self.calendar.kept(self.now());
        self.ports.board.known(&kept).await
    }

    async fn fed(&self, day: Date) -> Result<(Shadow, u64), Error> {
        let Some(mut shadow) = self.ports.board.open(day).await? else {
            return Err(Error::Rebuilding(day));
        };
        let span = self.calendar.span(day);
        // The shadow is open, so whatever the snapshot does not see yet will be counted by `apply`.
        let mut snapshot = self.ports.history.snapshot(span).await.map_err(unread)?;
        let mut events = 0;
        loop {
            let page = snapshot
                .page(self.settings.rebuild_page)
                .await
                .map_err(unread)?;
            if page.is_empty() {
                return Ok((shadow, events));
            }
            events += page.len() as u64;
            for some in page.chunks(self.settings.feed_batch_max.max(1)) {
                self.ports.board.feed(&mut shadow, some).await?;
            }
        }
    }
}

fn unread(error: StoreError) -> Error {
    Error::Unavailable(format!("sales history: {error}"))
}
