//! What must add up in the database: stock, money, and that each event an order owes had its effect. Reports, locks nothing,
//! repairs nothing. Every check is one statement or one snapshot, so that a busy shop raises no false alarm.
//! `madang audit` calls it.

mod events;
mod sums;

use sea_orm::{ConnectionTrait, QueryResult};

use super::{Database, Error};

pub use events::{Missing, Owed};

/// Differences of one kind that are listed at most; the first say enough.
const LISTED_MAX: u32 = 100;

pub struct Audit {
    db: Database,
}

impl Audit {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    /// Invariants I1 and I3 in words: what does not add up, empty when all is well.
    ///
    /// # Errors
    /// Those of the statements.
    pub async fn sums(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for check in sums::CHECKS {
            let sql = format!("{} LIMIT {LISTED_MAX}", check.sql);
            let rows = self
                .db
                .reader()
                .query_all_raw(self.db.statement(sql, Vec::new()))
                .await?;
            for row in &rows {
                found.push(sentence(check.words, row)?);
            }
        }
        Ok(found)
    }
}

/// Each `{}` of the words by the row's next column.
fn sentence(words: &str, row: &QueryResult) -> Result<String, Error> {
    let mut sentence = String::new();
    for (column, part) in words.split("{}").enumerate() {
        if column > 0 {
            let value: Option<i64> = row.try_get_by(column - 1)?;
            match value {
                Some(value) => sentence.push_str(&value.to_string()),
                None => sentence.push_str("none"),
            }
        }
        sentence.push_str(part);
    }
    Ok(sentence)
}
