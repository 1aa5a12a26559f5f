//! Writes of one transaction, gathered and sent together: on MySQL and MariaDB as one text in one round trip, whatever their
//! number; on SQLite, which has no round trips, one prepared statement after another. Each write says how many rows it changes,
//! and is held to it. Stores of batches use it; what is written is their affair.

mod literal;

use sea_orm::{ConnectionTrait, Value};

use super::dialect::chunks;
use super::{Dialect, Error, Transaction};

/// Rows of one INSERT, per engine: SQLite keeps its statements prepared, so few shapes are better than few statements.
const INSERT_ROWS_MAX: usize = 512;
const INSERT_ROWS_MAX_SQLITE: usize = 64;
/// Rows of one keyed UPDATE: each row is searched for among the cases of all.
const UPDATE_ROWS_MAX: usize = 32;
/// A text is sent once it is this long; servers take 16 MiB and more.
const TEXT_BYTES: usize = 1 << 20;

pub struct Writes {
    dialect: Dialect,
    /// Texts of many statements, or single ones with their parameters; in order.
    parts: Vec<Part>,
    /// What could not be written; sending tells.
    error: Option<Error>,
}

#[derive(Default)]
struct Part {
    sql: String,
    values: Vec<Value>,
    /// Rows that it must change (or find unchanged).
    rows: usize,
}

/// An UPDATE that sets a column to another value in each row, told apart by their key.
pub struct Keyed<'a> {
    pub table: &'a str,
    pub key: &'a str,
    pub column: &'a str,
    /// Before the value: `stock - ` takes it away; empty sets it.
    pub relative: &'a str,
    /// What must hold besides the key, with its value.
    pub guard: Option<(&'a str, i64)>,
}

/// Takes the values of one row, in the order of its columns.
pub struct Row<'w> {
    part: &'w mut Part,
    dialect: Dialect,
    is_first: bool,
}

impl Row<'_> {
    pub fn int(&mut self, number: impl Into<Option<i64>>) -> &mut Self {
        let number = number.into();
        self.value(|sql| literal::int(number, sql), || number.into())
    }

    pub fn text<'t>(&mut self, text: impl Into<Option<&'t str>>) -> &mut Self {
        let text = text.into();
        self.value(
            |sql| literal::text(text, sql),
            || text.map(str::to_owned).into(),
        )
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.value(|sql| literal::bytes(bytes, sql), || bytes.to_vec().into())
    }

    /// What the database works out itself, such as its clock.
    pub fn expression(&mut self, sql: &str) -> &mut Self {
        self.separate();
        self.part.sql.push_str(sql);
        self
    }

    fn value(
        &mut self,
        literal: impl FnOnce(&mut String),
        parameter: impl FnOnce() -> Value,
    ) -> &mut Self {
        self.separate();
        match self.dialect {
            Dialect::MySql => literal(&mut self.part.sql),
            Dialect::Sqlite => {
                self.part.sql.push('?');
                self.part.values.push(parameter());
            }
        }
        self
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.part.sql.push_str(", ");
        }
    }
}

impl Writes {
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            parts: Vec::new(),
            error: None,
        }
    }

    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// One statement with `?` for each value and nowhere else.
    pub fn push(&mut self, sql: &str, values: Vec<Value>, rows: usize) {
        let dialect = self.dialect;
        let part = self.statement(rows);
        let written = match dialect {
            Dialect::MySql => literal::inline(sql, &values, &mut part.sql),
            Dialect::Sqlite => {
                part.sql.push_str(sql);
                part.values = values;
                Ok(())
            }
        };
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    /// `head` up to VALUES; `row` gives the values of each item.
    pub fn insert<T>(&mut self, head: &str, items: &[T], row: impl Fn(&T, &mut Row<'_>)) {
        let dialect = self.dialect;
        for items in self.pieces(items, INSERT_ROWS_MAX, INSERT_ROWS_MAX_SQLITE) {
            let part = self.statement(items.len());
            part.sql.push_str(head);
            let mut before = " VALUES (";
            for item in items {
                part.sql.push_str(before);
                before = ", (";
                let mut values = Row {
                    part: &mut *part,
                    dialect,
                    is_first: true,
                };
                row(item, &mut values);
                part.sql.push(')');
            }
        }
    }

    /// `values` by key, in order of key. Every row must be there.
    pub fn update(&mut self, keyed: &Keyed<'_>, values: impl IntoIterator<Item = (i64, i64)>) {
        let mut values: Vec<(i64, i64)> = values.into_iter().collect();
        values.sort_unstable();
        let dialect = self.dialect;
        for values in self.pieces(&values, UPDATE_ROWS_MAX, UPDATE_ROWS_MAX) {
            let part = self.statement(values.len());
            keyed.write(part, dialect, values);
        }
    }

    /// Where the next statement is written.
    fn statement(&mut self, rows: usize) -> &mut Part {
        let goes_on = |last: &Part| self.dialect == Dialect::MySql && last.sql.len() < TEXT_BYTES;
        if self.parts.last().is_some_and(goes_on) {
            if let Some(last) = self.parts.last_mut() {
                last.sql.push(';');
            }
        } else {
            self.parts.push(Part::default());
        }
        let last = self.parts.len() - 1;
        let part = &mut self.parts[last];
        part.rows += rows;
        part
    }

    fn pieces<'t, T>(&self, items: &'t [T], max: usize, max_sqlite: usize) -> Vec<&'t [T]> {
        match self.dialect {
            Dialect::MySql => items.chunks(max).collect(),
            Dialect::Sqlite => {
                let mut rest = items;
                chunks(items.len(), max_sqlite)
                    .into_iter()
                    .map(|size| {
                        let (now, later) = rest.split_at(size);
                        rest = later;
                        now
                    })
                    .collect()
            }
        }
    }

    /// # Errors
    /// Those of the statements; `Error::Other` when they did not change the rows that they must, which is a defect: roll back.
    pub async fn send(self, tx: &Transaction) -> Result<(), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        for Part { sql, values, rows } in self.parts {
            let (done, what) = match self.dialect {
                Dialect::MySql => (tx.execute_unprepared(&sql).await?, "a batch of writes"),
                Dialect::Sqlite => {
                    let statement = self.dialect.statement(sql.as_str(), values);
                    (tx.execute_raw(statement).await?, sql.as_str())
                }
            };
            // No statement can change more than it names, so the sum is right only where each is.
            check(done.rows_affected(), rows as u64, what)?;
        }
        Ok(())
    }
}

fn check(changed: u64, expected: u64, what: &str) -> Result<(), Error> {
    if changed == expected {
        return Ok(());
    }
    let what: String = what.chars().take(80).collect();
    Err(Error::guard(format!(
        "{what}: {changed} rows of {expected}"
    )))
}

impl Keyed<'_> {
    fn write(&self, part: &mut Part, dialect: Dialect, values: &[(i64, i64)]) {
        let Self {
            table,
            key,
            column,
            relative,
            guard,
        } = self;
        let mut words = |words: &str| part.sql.push_str(words);
        for piece in ["UPDATE ", table, dialect.force_primary(), " SET ", column] {
            words(piece);
        }
        for piece in [" = ", relative, "CASE ", key] {
            words(piece);
        }
        let mut number = |before: &str, number: i64| {
            part.sql.push_str(before);
            let mut row = Row {
                part: &mut *part,
                dialect,
                is_first: true,
            };
            row.int(number);
        };
        for (key, value) in values {
            number(" WHEN ", *key);
            number(" THEN ", *value);
        }
        let mut before = [" END WHERE ", key, " IN ("].concat();
        for (key, _) in values {
            number(&before, *key);
            ", ".clone_into(&mut before);
        }
        match guard {
            None => part.sql.push(')'),
            Some((guard, value)) => number(&format!(") AND {guard} = "), *value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKE: Keyed<'static> = Keyed {
        table: "t",
        key: "id",
        column: "n",
        relative: "n - ",
        guard: Some(("day", 9)),
    };

    fn gathered(dialect: Dialect) -> Vec<Part> {
        let mut writes = Writes::new(dialect);
        writes.insert(
            "INSERT INTO t (a, b, c, d)",
            &[(1, "x"), (2, "it's")],
            |(a, b), row| {
                row.int(*a).text(*b).bytes(b"{}").expression("NOW()");
            },
        );
        writes.update(&TAKE, [(7, 1), (3, 2)]);
        writes.push("DELETE FROM t WHERE a = ?", vec![5_i64.into()], 1);
        writes.parts
    }

    #[test]
    fn one_text_of_all_statements() {
        let parts = gathered(Dialect::MySql);
        let [text] = parts.as_slice() else {
            panic!("{} texts", parts.len());
        };
        assert_eq!(
            text.sql,
            "INSERT INTO t (a, b, c, d) VALUES (1, 'x', _binary '{}', NOW()), (2, _utf8mb4 X'69742773', _binary '{}', NOW());\
             UPDATE t FORCE INDEX (PRIMARY) SET n = n - CASE id WHEN 3 THEN 2 WHEN 7 THEN 1 END WHERE id IN (3, 7) AND day = 9;\
             DELETE FROM t WHERE a = 5"
        );
        assert_eq!(text.rows, 5);
        assert!(text.values.is_empty());
    }

    #[test]
    fn prepared_statements_of_few_shapes() {
        let parts = gathered(Dialect::Sqlite);
        let texts: Vec<&str> = parts.iter().map(|part| part.sql.as_str()).collect();
        assert_eq!(
            texts,
            [
                "INSERT INTO t (a, b, c, d) VALUES (?, ?, ?, NOW()), (?, ?, ?, NOW())",
                "UPDATE t SET n = n - CASE id WHEN ? THEN ? WHEN ? THEN ? END WHERE id IN (?, ?) AND day = ?",
                "DELETE FROM t WHERE a = ?",
            ]
        );
        let numbers: Vec<Value> = [3_i64, 2, 7, 1, 3, 7, 9].map(Value::from).to_vec();
        assert_eq!(parts[1].values, numbers);
        assert_eq!(parts.iter().map(|part| part.rows).sum::<usize>(), 5);
    }

    #[test]
    fn a_long_text_is_followed_by_another() {
        let mut writes = Writes::new(Dialect::MySql);
        let long = "x".repeat(TEXT_BYTES);
        for _ in 0..2 {
            writes.insert("INSERT INTO t (a)", &[()], |(), row| {
                row.text(long.as_str());
            });
        }
        assert_eq!(writes.parts.len(), 2);
    }
}
