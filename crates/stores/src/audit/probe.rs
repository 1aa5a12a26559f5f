//! A check that one select carries out: it yields a row for each difference, of up to four numbers that the words are made of.
//! The checks themselves stand in the files beside this one.

use sea_orm::{ConnectionTrait, QueryResult};

use super::{Check, Difference, Error, Settings};
use crate::sql::Database;
use crate::sql::ranking::snapshot;

pub struct Probe {
    pub invariant: &'static str,
    pub name: &'static str,
    /// Counts what is looked at.
    pub examined: &'static str,
    /// Selects `a`, `b`, `c`, `d` of each difference; unused ones are 0.
    pub differing: &'static str,
    /// Words with `{a}` to `{d}`.
    pub subject: &'static str,
    pub expected: &'static str,
    pub found: &'static str,
}

impl Probe {
    pub async fn run(&self, db: &Database, settings: &Settings) -> Result<Check, Error> {
        let tx = snapshot(db).await?;
        let mut check = Check::new(self.invariant, self.name);
        check.examined = number(&tx, db, self.examined.to_owned()).await?;
        let listed = format!(
            "SELECT {numbers} FROM ({differing}) t ORDER BY t.a, t.b LIMIT {limit}",
            numbers = ["a", "b", "c", "d"]
                .map(|name| format!("CAST(t.{name} AS SIGNED INTEGER)"))
                .join(", "),
            differing = self.differing,
            limit = settings.listed_max,
        );
        let rows = tx.query_all_raw(db.statement(listed, vec![])).await?;
        for row in &rows {
            let difference = self.difference(row)?;
            check.differ(settings.listed_max, difference);
        }
        if rows.len() >= settings.listed_max {
            let all = format!("SELECT COUNT(*) FROM ({}) t", self.differing);
            check.differences = number(&tx, db, all).await?;
        }
        tx.rollback().await?;
        Ok(check)
    }

    fn difference(&self, row: &QueryResult) -> Result<Difference, Error> {
        let mut texts = [self.subject, self.expected, self.found].map(str::to_owned);
        for (index, name) in ["{a}", "{b}", "{c}", "{d}"].into_iter().enumerate() {
            let number: Option<i64> = row.try_get_by(index)?;
            let number = number.map_or_else(|| "none".to_owned(), |n| n.to_string());
            texts = texts.map(|text| text.replace(name, &number));
        }
        let [subject, expected, found] = texts;
        Ok(Difference {
            subject,
            expected,
            found,
        })
    }
}

async fn number(tx: &impl ConnectionTrait, db: &Database, sql: String) -> Result<u64, Error> {
    let row = tx.query_one_raw(db.statement(sql, vec![])).await?;
    let number: i64 = row.map_or(Ok(0), |row| row.try_get_by(0))?;
    Ok(number.unsigned_abs())
}
