//! One set of counts of one day: the live one, a rebuild's shadow, or that of foreign events. Counts are summed by product
//! before they are written; each sheet has consumer notes of its own. Only the board beside this file uses it.

use std::collections::BTreeMap;

use commerce::ids::ProductId;
use commerce::ranking::model::Entry;
use commerce::ranking::ports::Counted;
use jiff::civil::Date;
use messaging::envelope::Identity;
use sea_orm::ConnectionTrait;

use super::text;
use crate::sql::writes::{Sums, Writes};
use crate::sql::{Dialect, Error, Transaction, notes};

/// The sheet of foreign events.
pub const FOREIGN: i64 = -1;
const SCORES: Sums<'static> = Sums {
    table: "ranking_scores",
    key: "day, sheet, product_id",
    columns: &["quantity", "amount"],
};
/// Expired days removed at a time.
const EXPIRED_MAX: i64 = 8;

#[derive(Clone, Copy)]
pub struct Sheet {
    pub day: Date,
    pub number: i64,
}

/// Whether the event is this shop's own: those are in the orders table too.
pub fn is_own(entry: &Entry) -> bool {
    matches!(entry.identity, Identity::Seq(_))
}

impl Sheet {
    /// The name that its notes are kept under.
    fn consumer(self) -> String {
        format!("board/{}/{}", self.day, self.number)
    }

    /// Counts those entries that were not noted here before, and gives them back.
    pub async fn count_new(
        self,
        tx: &Transaction,
        dialect: Dialect,
        entries: &[&Entry],
    ) -> Result<Vec<Counted>, Error> {
        let identities: Vec<Identity> = entries.iter().map(|e| e.identity.clone()).collect();
        let counted = entries.iter().map(|entry| Counted {
            seq: None,
            product: entry.product,
            quantity: entry.quantity,
            amount: entry.amount,
        });
        let fresh = self.mark(tx, dialect, &identities).await?;
        let new: Vec<Counted> = counted
            .zip(fresh)
            .filter_map(|(c, fresh)| fresh.then_some(c))
            .collect();
        self.add(tx, dialect, &new).await?;
        Ok(new)
    }

    /// Counts a page of the recount: what has a number, once; what has none, as it comes.
    pub async fn count_page(
        self,
        tx: &Transaction,
        dialect: Dialect,
        page: &[Counted],
    ) -> Result<(), Error> {
        let numbered: Vec<Identity> = page
            .iter()
            .filter_map(|c| c.seq.map(Identity::Seq))
            .collect();
        let mut fresh = self.mark(tx, dialect, &numbered).await?.into_iter();
        let mut is_new = |c: &&Counted| c.seq.is_none() || fresh.next().unwrap_or(false);
        let new: Vec<Counted> = page.iter().filter(|c| is_new(c)).copied().collect();
        self.add(tx, dialect, &new).await
    }

    async fn mark(
        self,
        tx: &Transaction,
        dialect: Dialect,
        identities: &[Identity],
    ) -> Result<Vec<bool>, Error> {
        if identities.is_empty() {
            return Ok(Vec::new());
        }
        // A note of a board is dated by the board's day: it goes when the board goes.
        let noted = self.day.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
        let noted_us = noted.map_or(0, |z| z.timestamp().as_microsecond());
        notes::mark(tx, dialect, &self.consumer(), identities, noted_us).await
    }

    /// Adds counts without looking at notes.
    pub async fn add(
        self,
        tx: &Transaction,
        dialect: Dialect,
        counted: &[Counted],
    ) -> Result<(), Error> {
        let mut sums: BTreeMap<ProductId, (i64, i64)> = BTreeMap::new();
        for c in counted {
            let sum = sums.entry(c.product).or_default();
            *sum = (
                sum.0.saturating_add(c.quantity),
                sum.1.saturating_add(c.amount),
            );
        }
        let sums: Vec<_> = sums.into_iter().collect();
        let mut writes = Writes::new(dialect);
        let day = self.day.to_string();
        writes.add_up(&SCORES, &sums, |(product, (quantity, amount)), row| {
            row.text(day.as_str())
                .int(self.number)
                .int(product.get())
                .int(*quantity)
                .int(*amount);
        });
        writes.send(tx).await?;
        // Only a cancel brings a sum back to 0.
        if counted.iter().any(|c| c.quantity < 0 || c.amount < 0) {
            self.execute(
                tx,
                dialect,
                "DELETE FROM ranking_scores WHERE day = ? AND sheet = ? AND quantity = 0 AND amount = 0",
            )
            .await?;
        }
        Ok(())
    }

    /// All its counts.
    pub async fn read(self, tx: &Transaction, dialect: Dialect) -> Result<Vec<Counted>, Error> {
        let sql = "SELECT product_id, quantity, amount FROM ranking_scores WHERE day = ? AND sheet = ? ORDER BY product_id";
        let select = dialect.statement(sql, vec![text(self.day), self.number.into()]);
        let rows = tx.query_all_raw(select).await?;
        rows.iter()
            .map(|row| {
                Ok(Counted {
                    seq: None,
                    product: super::reads::product(row, 0)?,
                    quantity: row.try_get_by(1)?,
                    amount: row.try_get_by(2)?,
                })
            })
            .collect()
    }

    /// Removes its counts and notes.
    pub async fn drop(self, tx: &Transaction, dialect: Dialect) -> Result<(), Error> {
        self.execute(
            tx,
            dialect,
            "DELETE FROM ranking_scores WHERE day = ? AND sheet = ?",
        )
        .await?;
        for table in ["consumer_notes", "consumer_foreign_notes"] {
            let sql = format!("DELETE FROM {table} WHERE consumer = ?");
            let delete = dialect.statement(sql, vec![self.consumer().into()]);
            tx.execute_raw(delete).await?;
        }
        Ok(())
    }

    async fn execute(self, tx: &Transaction, dialect: Dialect, sql: &str) -> Result<(), Error> {
        let values = vec![text(self.day), self.number.into()];
        tx.execute_raw(dialect.statement(sql, values)).await?;
        Ok(())
    }
}

/// Removes boards of days before `day`, a few at a time.
pub async fn drop_before(tx: &Transaction, dialect: Dialect, day: Date) -> Result<(), Error> {
    let sql = "SELECT day, generation FROM ranking_boards WHERE day < ? ORDER BY day LIMIT ?";
    let select = dialect.statement(sql, vec![text(day), EXPIRED_MAX.into()]);
    for row in tx.query_all_raw(select).await? {
        let (day, generation) = (super::reads::day(&row, 0)?, row.try_get_by::<i64, _>(1)?);
        for number in [FOREIGN, generation, generation + 1] {
            Sheet { day, number }.drop(tx, dialect).await?;
        }
        let delete = dialect.statement("DELETE FROM ranking_boards WHERE day = ?", vec![text(day)]);
        tx.execute_raw(delete).await?;
    }
    Ok(())
}
