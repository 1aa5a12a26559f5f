//! The ranking boards in the shop's own database: counts, notes and places in one transaction.
//! Foreign events count on a sheet of their own (-1), so that a rebuild, which knows only the orders table, keeps them.
//! The binary builds it where `redis.url` is empty.

mod reads;
mod sheet;
mod state;

use async_trait::async_trait;
use commerce::ids::ProductId;
use commerce::ranking::model::{Entry, Place, Position, Standing};
use commerce::ranking::ports::{Applied, Board, Comparison, Counted, Error, Read, Shadow};
use jiff::ToSpan;
use jiff::civil::Date;
use sea_orm::{ConnectionTrait, Value};

use self::state::{Failed, State, port_error};
use crate::sql::dialect::list;
use crate::sql::{self, Database, Dialect, Transaction, follow_up, within};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Days before today that keep their boards; the ranking service's own.
    pub retention_days: i32,
    /// A rebuilder that feeds nothing for so long has lost its shadow.
    pub lease_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention_days: 35,
            lease_ms: 30_000,
        }
    }
}

#[derive(Clone)]
pub struct SqlBoard {
    db: Database,
    settings: Settings,
}

impl SqlBoard {
    #[must_use]
    pub fn new(db: Database, settings: Settings) -> Self {
        Self { db, settings }
    }

    fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    async fn applied(
        &self,
        tx: &Transaction,
        entries: &[Entry],
        at: Option<&Position>,
    ) -> Result<Applied, sql::Error> {
        if let Some(at) = at
            && let Some(refusal) = self.refused(tx, at).await?
        {
            return Ok(refusal);
        }
        let mut days: Vec<Date> = entries.iter().map(|e| e.day).collect();
        days.sort_unstable();
        days.dedup();
        let states = self.lock_days(tx, &days).await?;
        let there = |day: &Date| {
            let state = states.iter().find(|s| s.day == *day);
            state.is_some_and(|s| s.generation > 0 || s.shadowed)
        };
        let missing: Vec<Date> = days.iter().copied().filter(|day| !there(day)).collect();
        if !missing.is_empty() {
            return Ok(Applied::Missing(missing));
        }
        for state in &states {
            let of_day: Vec<&Entry> = entries.iter().filter(|e| e.day == state.day).collect();
            self.count_day(tx, state, &of_day).await?;
        }
        if let Some(at) = at {
            let sql = format!(
                "INSERT INTO ranking_places (topic_partition, next_offset) VALUES (?, ?) {} next_offset = CASE WHEN ranking_places.next_offset < {incoming} THEN {incoming} ELSE ranking_places.next_offset END",
                self.dialect().on_conflict("topic_partition"),
                incoming = self.dialect().incoming("next_offset"),
            );
            let values = vec![at.partition.as_str().into(), at.next.into()];
            tx.execute_raw(self.db.statement(sql, values)).await?;
        }
        Ok(Applied::Done)
    }

    async fn refused(
        &self,
        tx: &Transaction,
        at: &Position,
    ) -> Result<Option<Applied>, sql::Error> {
        let sql = format!(
            "SELECT next_offset FROM ranking_places WHERE topic_partition = ?{}",
            self.dialect().for_update()
        );
        let select = self.db.statement(sql, vec![at.partition.as_str().into()]);
        Ok(match tx.query_one_raw(select).await? {
            Some(row) => {
                let next = row.try_get_by(0)?;
                (next < at.start).then_some(Applied::Behind { next })
            }
            None => (at.start > 0).then_some(Applied::Unplaced),
        })
    }

    async fn lock_days(&self, tx: &Transaction, days: &[Date]) -> Result<Vec<State>, sql::Error> {
        if days.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT day, generation, CASE WHEN token IS NOT NULL AND lease_until_us > {now} THEN 1 ELSE 0 END FROM ranking_boards{hint} WHERE day IN ({days}) ORDER BY day{lock}",
            now = self.dialect().now_us(),
            hint = self.dialect().force_primary(),
            days = list(days.len()),
            lock = self.dialect().for_update(),
        );
        let values = days.iter().map(|day| text(*day)).collect();
        let rows = tx.query_all_raw(self.db.statement(sql, values)).await?;
        let state = |row: &sea_orm::QueryResult| {
            Ok(State {
                day: reads::day(row, 0)?,
                generation: row.try_get_by(1)?,
                shadowed: row.try_get_by::<i32, _>(2)? == 1,
            })
        };
        rows.iter().map(state).collect()
    }

    async fn count_day(
        &self,
        tx: &Transaction,
        state: &State,
        entries: &[&Entry],
    ) -> Result<(), sql::Error> {
        let (own, foreign): (Vec<&Entry>, Vec<&Entry>) =
            entries.iter().copied().partition(|e| sheet::is_own(e));
        if let Some(live) = state.live() {
            live.count_new(tx, self.dialect(), &own).await?;
        }
        if state.shadowed {
            state.twin().count_new(tx, self.dialect(), &own).await?;
        }
        let new = state
            .foreign()
            .count_new(tx, self.dialect(), &foreign)
            .await?;
        if let Some(live) = state.live() {
            live.add(tx, self.dialect(), &new).await?;
        }
        Ok(())
    }

    /// Locks the day's row and checks that the shadow is still this one; the day's state.
    async fn held(&self, tx: &Transaction, shadow: &Shadow) -> Result<State, Failed> {
        let states = self.lock_days(tx, &[shadow.day]).await?;
        let sql = "SELECT 1 FROM ranking_boards WHERE day = ? AND token = ? AND pages = ?";
        let pages = i64::try_from(shadow.pages).map_err(|_| Failed::Lost)?;
        let values = vec![text(shadow.day), shadow.token.as_str().into(), pages.into()];
        let mine = tx.query_one_raw(self.db.statement(sql, values)).await?;
        match (states.into_iter().next(), mine) {
            (Some(state), Some(_)) if state.shadowed => Ok(state),
            _ => Err(Failed::Lost),
        }
    }

    async fn opened(&self, tx: &Transaction, day: Date, token: &str) -> Result<bool, sql::Error> {
        let sql = format!(
            "INSERT INTO ranking_boards (day, generation, token, pages, lease_until_us) VALUES (?, 0, NULL, 0, 0) {} generation = ranking_boards.generation",
            self.dialect().on_conflict("day")
        );
        tx.execute_raw(self.db.statement(sql, vec![text(day)]))
            .await?;
        let states = self.lock_days(tx, &[day]).await?;
        let Some(state) = states.first() else {
            return Err(sql::Error::guard("a day's board"));
        };
        if state.shadowed {
            return Ok(false);
        }
        state.twin().drop(tx, self.dialect()).await?;
        let sql = format!(
            "UPDATE ranking_boards SET token = ?, pages = 0, lease_until_us = {} + ? WHERE day = ?",
            self.dialect().now_us()
        );
        let values = vec![token.into(), self.lease_us(), text(day)];
        tx.execute_raw(self.db.statement(sql, values)).await?;
        Ok(true)
    }

    fn lease_us(&self) -> Value {
        i64::try_from(self.settings.lease_ms.saturating_mul(1_000))
            .unwrap_or(i64::MAX / 4)
            .into()
    }

    async fn fed(&self, tx: &Transaction, shadow: &Shadow, page: &[Counted]) -> Result<(), Failed> {
        let state = self.held(tx, shadow).await?;
        state.twin().count_page(tx, self.dialect(), page).await?;
        let sql = format!(
            "UPDATE ranking_boards SET pages = pages + 1, lease_until_us = {} + ? WHERE day = ?",
            self.dialect().now_us()
        );
        let values = vec![self.lease_us(), text(shadow.day)];
        tx.execute_raw(self.db.statement(sql, values)).await?;
        Ok(())
    }

    async fn flipped(&self, tx: &Transaction, shadow: &Shadow) -> Result<(), Failed> {
        let state = self.held(tx, shadow).await?;
        let foreign = state.foreign().read(tx, self.dialect()).await?;
        state.twin().add(tx, self.dialect(), &foreign).await?;
        if let Some(live) = state.live() {
            live.drop(tx, self.dialect()).await?;
        }
        let sql = "UPDATE ranking_boards SET generation = generation + 1, token = NULL, pages = 0 WHERE day = ?";
        tx.execute_raw(self.db.statement(sql, vec![text(shadow.day)]))
            .await?;
        let expired = shadow
            .day
            .checked_sub((self.settings.retention_days + 1).days());
        if let Ok(expired) = expired {
            sheet::drop_before(tx, self.dialect(), expired).await?;
        }
        Ok(())
    }

    async fn compared(
        &self,
        tx: &Transaction,
        shadow: &Shadow,
        max: usize,
    ) -> Result<Comparison, Failed> {
        let state = self.held(tx, shadow).await?;
        let foreign = state.foreign().read(tx, self.dialect()).await?;
        state.twin().add(tx, self.dialect(), &foreign).await?;
        let mut comparison =
            reads::comparison(tx, self.dialect(), shadow.day, state.generation, max).await?;
        comparison.foreign = foreign.iter().map(|c| c.quantity).sum();
        self.discarded(tx, shadow).await?;
        Ok(comparison)
    }

    async fn discarded(&self, tx: &Transaction, shadow: &Shadow) -> Result<(), Failed> {
        let state = self.held(tx, shadow).await?;
        state.twin().drop(tx, self.dialect()).await?;
        let sql = "UPDATE ranking_boards SET token = NULL, pages = 0 WHERE day = ?";
        tx.execute_raw(self.db.statement(sql, vec![text(shadow.day)]))
            .await?;
        Ok(())
    }
}

fn text(day: Date) -> Value {
    day.to_string().into()
}

#[async_trait]
impl Board for SqlBoard {
    async fn apply(&self, entries: &[Entry], at: Option<&Position>) -> Result<Applied, Error> {
        follow_up(&self.db, "sql.board-apply", |tx, _| {
            Box::pin(async move { self.applied(tx, entries, at).await })
        })
        .await
        .map_err(port_error)
    }

    async fn place(&self, partition: &str, next: i64) -> Result<(), Error> {
        let sql = format!(
            "INSERT INTO ranking_places (topic_partition, next_offset) VALUES (?, ?) {} next_offset = {}",
            self.dialect().on_conflict("topic_partition"),
            self.dialect().incoming("next_offset"),
        );
        let insert = self.db.statement(sql, vec![partition.into(), next.into()]);
        let done = self.db.writer().execute_raw(insert).await;
        done.map(drop).map_err(|e| port_error(e.into()))
    }

    async fn forget_places(&self) -> Result<(), Error> {
        let delete = self.db.statement("DELETE FROM ranking_places", vec![]);
        let done = self.db.writer().execute_raw(delete).await;
        done.map(drop).map_err(|e| port_error(e.into()))
    }

    async fn known(&self, days: &[Date]) -> Result<Vec<Date>, Error> {
        reads::known(&self.db, days).await.map_err(port_error)
    }

    async fn top(&self, days: &[Date], n: usize) -> Result<Read<Vec<Standing>>, Error> {
        reads::top(&self.db, days, n).await.map_err(port_error)
    }

    async fn rank(&self, days: &[Date], product: ProductId) -> Result<Read<Place>, Error> {
        reads::rank(&self.db, days, product)
            .await
            .map_err(port_error)
    }

    async fn open(&self, day: Date) -> Result<Option<Shadow>, Error> {
        let token = uuid::Uuid::now_v7().to_string();
        let name = token.as_str();
        let opened = within(&self.db, "sql.board-open", |tx, _| {
            Box::pin(async move { self.opened(tx, day, name).await })
        })
        .await
        .map_err(port_error)?;
        Ok(opened.then_some(Shadow {
            day,
            token,
            pages: 0,
        }))
    }

    async fn feed(&self, shadow: &mut Shadow, page: &[Counted]) -> Result<(), Error> {
        let held: &Shadow = shadow;
        within(&self.db, "sql.board-feed", |tx, _| {
            Box::pin(async move { self.fed(tx, held, page).await })
        })
        .await
        .map_err(|failed: Failed| failed.of(held.day))?;
        shadow.pages += 1;
        Ok(())
    }

    async fn flip(&self, shadow: Shadow) -> Result<(), Error> {
        let held = &shadow;
        within(&self.db, "sql.board-flip", |tx, _| {
            Box::pin(async move { self.flipped(tx, held).await })
        })
        .await
        .map_err(|failed: Failed| failed.of(held.day))
    }

    async fn compare(&self, shadow: Shadow, max: usize) -> Result<Comparison, Error> {
        let held = &shadow;
        within(&self.db, "sql.board-compare", |tx, _| {
            Box::pin(async move { self.compared(tx, held, max).await })
        })
        .await
        .map_err(|failed: Failed| failed.of(held.day))
    }

    async fn discard(&self, shadow: Shadow) -> Result<(), Error> {
        let held = &shadow;
        // The step that ends a comparison, without what is compared.
        within(&self.db, "sql.board-compare", |tx, _| {
            Box::pin(async move { self.discarded(tx, held).await })
        })
        .await
        .map_err(|failed: Failed| failed.of(held.day))
    }
}
