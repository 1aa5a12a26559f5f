//! Reads of one transaction, gathered and asked together: one text, so one round trip, on MySQL and MariaDB; one statement after
//! the other on SQLite, where there is none to save. Stores of batches use it; what is read is their affair.

use std::ops::Range;

use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::dialect::{list, padded};
use super::writes::inline;
use super::{Dialect, Error, Transaction};

/// Values that one statement looks for.
const VALUES_MAX: usize = 512;

pub struct Reads {
    dialect: Dialect,
    statements: Vec<(String, Vec<Value>)>,
}

/// Where the rows of a question are among the answers.
pub struct Asked(Range<usize>);

/// The rows of each statement.
pub struct Answers(Vec<Vec<QueryResult>>);

impl Reads {
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            statements: Vec::new(),
        }
    }

    /// The rows of these ids in order of id. `sql` ends before its WHERE; `end` follows the ORDER BY.
    pub fn by_id(&mut self, sql: &str, id: &str, end: &str, mut ids: Vec<i64>) -> Asked {
        ids.sort_unstable();
        ids.dedup();
        self.among(sql, id, &format!(" ORDER BY {id}{end}"), &ids)
    }

    /// The rows whose `column` is one of these. `sql` ends before its WHERE.
    pub fn among<T>(&mut self, sql: &str, column: &str, end: &str, values: &[T]) -> Asked
    where
        T: Clone + Into<Value>,
    {
        let first = self.statements.len();
        for chunk in values.chunks(VALUES_MAX) {
            let asked = match self.dialect {
                // Prepared, so of few lengths.
                Dialect::Sqlite => padded(chunk),
                Dialect::MySql => chunk.to_vec(),
            };
            let marks = list(asked.len());
            let sql = format!("{sql} WHERE {column} IN ({marks}){end}");
            let values = asked.into_iter().map(Into::into).collect();
            self.statements.push((sql, values));
        }
        Asked(first..self.statements.len())
    }

    /// # Errors
    /// Those of the statements.
    pub async fn ask(self, tx: &Transaction) -> Result<Answers, Error> {
        if self.statements.is_empty() {
            return Ok(Answers(Vec::new()));
        }
        let Transaction::Pooled(pooled) = tx else {
            return self.one_by_one(tx).await;
        };
        let mut text = String::new();
        for (sql, values) in &self.statements {
            if !text.is_empty() {
                text.push(';');
            }
            inline(self.dialect, sql, values, &mut text)?;
        }
        let sets = pooled.ask(&text).await?;
        if sets.len() != self.statements.len() {
            return Err(Error::Other("answers do not match reads".into()));
        }
        Ok(Answers(sets))
    }

    async fn one_by_one(self, tx: &Transaction) -> Result<Answers, Error> {
        let mut sets = Vec::with_capacity(self.statements.len());
        for (sql, values) in self.statements {
            let statement = self.dialect.statement(sql, values);
            sets.push(tx.query_all_raw(statement).await?);
        }
        Ok(Answers(sets))
    }
}

impl Answers {
    pub fn rows(&self, asked: Asked) -> impl Iterator<Item = &QueryResult> {
        self.0.get(asked.0).unwrap_or_default().iter().flatten()
    }
}
