//! Writes of one transaction, gathered and sent together, as one text whatever their number: one round trip on MySQL and
//! MariaDB, and on SQLite one errand of the thread that writes, which would otherwise wait between two statements for whoever
//! sends them. A write that says how many rows it changes is held to it. Stores of batches use it; what is written is
//! their affair.

mod literal;

pub(super) use literal::inline;

use sea_orm::{ConnectionTrait, Value};

use super::{Dialect, Error, Transaction};

/// Rows of one INSERT.
const INSERT_ROWS_MAX: usize = 512;
/// Rows of one keyed UPDATE: each row is searched for among the cases of all.
const UPDATE_ROWS_MAX: usize = 32;
/// A text is sent once it is this long; servers take 16 MiB and more.
const TEXT_BYTES: usize = 1 << 20;

pub struct Writes {
    dialect: Dialect,
    /// Texts of many statements, in order.
    parts: Vec<Part>,
    /// What could not be written; sending tells.
    error: Option<Error>,
}

struct Part {
    sql: String,
    /// Rows that it must change (or find unchanged). `None`: nobody knows how many there are, or each engine counts them in
    /// its own way, as they do those of an upsert.
    rows: Option<usize>,
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

/// Rows of sums: what comes is added to what is there, and makes the row where there is none.
pub struct Sums<'a> {
    pub table: &'a str,
    /// The columns of its primary key.
    pub key: &'a str,
    pub columns: &'a [&'a str],
}

/// Takes the values of one row, in the order of its columns.
pub struct Row<'w> {
    part: &'w mut Part,
    dialect: Dialect,
    is_first: bool,
}

impl Row<'_> {
    pub fn int(&mut self, number: impl Into<Option<i64>>) -> &mut Self {
        self.separate();
        literal::int(number.into(), &mut self.part.sql);
        self
    }

    pub fn text<'t>(&mut self, text: impl Into<Option<&'t str>>) -> &mut Self {
        self.separate();
        literal::text(self.dialect, text.into(), &mut self.part.sql);
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.separate();
        literal::bytes(self.dialect, bytes, &mut self.part.sql);
        self
    }

    /// What the database works out itself, such as its clock.
    pub fn expression(&mut self, sql: &str) -> &mut Self {
        self.separate();
        self.part.sql.push_str(sql);
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

    /// One statement with `?` for each value and nowhere else. `rows`: what it must change; `None`: whatever it finds.
    pub fn push(&mut self, sql: &str, values: &[Value], rows: impl Into<Option<usize>>) {
        let dialect = self.dialect;
        let part = self.statement(rows.into());
        if let Err(error) = literal::inline(dialect, sql, values, &mut part.sql) {
            self.error.get_or_insert(error);
        }
    }

    /// `head` up to VALUES; `row` gives the values of each item.
    pub fn insert<T>(&mut self, head: &str, items: &[T], row: impl Fn(&T, &mut Row<'_>)) {
        for items in items.chunks(INSERT_ROWS_MAX) {
            self.rows(Some(items.len()), head, items, &row);
        }
    }

    /// As `insert`, with what is done about rows that are there already: `upsert` ends each statement.
    pub fn insert_or<T>(
        &mut self,
        head: &str,
        upsert: &str,
        items: &[T],
        row: impl Fn(&T, &mut Row<'_>),
    ) {
        for items in items.chunks(INSERT_ROWS_MAX) {
            let part = self.rows(None, head, items, &row);
            part.sql.push(' ');
            part.sql.push_str(upsert);
        }
    }

    /// Of each item `row` gives the key and then what is added to the columns. In order of key, so that two batches meet
    /// without a deadlock.
    pub fn add_up<T>(&mut self, sums: &Sums<'_>, items: &[T], row: impl Fn(&T, &mut Row<'_>)) {
        let Sums {
            table,
            key,
            columns,
        } = sums;
        let dialect = self.dialect;
        let head = format!("INSERT INTO {table} ({key}, {})", columns.join(", "));
        let added = columns.iter().map(|column| {
            let incoming = dialect.incoming(column);
            format!("{column} = {table}.{column} + {incoming}")
        });
        let added: Vec<String> = added.collect();
        let upsert = format!("{} {}", dialect.on_conflict(key), added.join(", "));
        self.insert_or(&head, &upsert, items, row);
    }

    /// One INSERT of these items.
    fn rows<T>(
        &mut self,
        held_to: Option<usize>,
        head: &str,
        items: &[T],
        row: impl Fn(&T, &mut Row<'_>),
    ) -> &mut Part {
        let dialect = self.dialect;
        let part = self.statement(held_to);
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
        part
    }

    /// `values` by key, in order of key. Every row must be there.
    pub fn update(&mut self, keyed: &Keyed<'_>, values: impl IntoIterator<Item = (i64, i64)>) {
        let mut values: Vec<(i64, i64)> = values.into_iter().collect();
        values.sort_unstable();
        let dialect = self.dialect;
        for values in values.chunks(UPDATE_ROWS_MAX) {
            let part = self.statement(Some(values.len()));
            keyed.write(part, dialect, values);
        }
    }

    /// Where the next statement is written.
    fn statement(&mut self, rows: Option<usize>) -> &mut Part {
        let goes_on =
            |last: &Part| last.sql.len() < TEXT_BYTES && last.rows.is_some() == rows.is_some();
        if self.parts.last().is_some_and(goes_on) {
            if let Some(last) = self.parts.last_mut() {
                last.sql.push(';');
            }
        } else {
            self.parts.push(Part {
                sql: String::new(),
                rows: rows.map(|_| 0),
            });
        }
        let last = self.parts.len() - 1;
        let part = &mut self.parts[last];
        part.rows = part.rows.zip(rows).map(|(before, more)| before + more);
        part
    }

    /// # Errors
    /// Those of the statements; `Error::Other` when they did not change the rows that they must, which is a defect: roll back.
    pub async fn send(self, tx: &Transaction) -> Result<(), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        for Part { sql, rows } in self.parts {
            let done = tx.execute_unprepared(&sql).await?;
            // No statement can change more than it names, so the sum is right only where each is.
            if let Some(rows) = rows {
                check(done.rows_affected(), rows as u64)?;
            }
        }
        Ok(())
    }
}

fn check(changed: u64, expected: u64) -> Result<(), Error> {
    if changed == expected {
        return Ok(());
    }
    Err(Error::guard(format!(
        "a batch of writes: {changed} rows of {expected}"
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

    fn gathered(dialect: Dialect) -> Part {
        let mut writes = Writes::new(dialect);
        writes.insert(
            "INSERT INTO t (a, b, c, d)",
            &[(1, "x"), (2, "it's")],
            |(a, b), row| {
                row.int(*a).text(*b).bytes(b"{}").expression("NOW()");
            },
        );
        writes.update(&TAKE, [(7, 1), (3, 2)]);
        writes.push("DELETE FROM t WHERE a = ?", &[5_i64.into()], 1);
        assert_eq!(writes.parts.len(), 1);
        writes.parts.remove(0)
    }

    #[test]
    fn one_text_of_all_statements() {
        let text = gathered(Dialect::MySql);
        assert_eq!(
            text.sql,
            "INSERT INTO t (a, b, c, d) VALUES (1, 'x', _binary '{}', NOW()), (2, 'it''s', _binary '{}', NOW());\
             UPDATE t FORCE INDEX (PRIMARY) SET n = n - CASE id WHEN 3 THEN 2 WHEN 7 THEN 1 END WHERE id IN (3, 7) AND day = 9;\
             DELETE FROM t WHERE a = 5"
        );
        assert_eq!(text.rows, Some(5));
        let text = gathered(Dialect::Sqlite);
        assert_eq!(
            text.sql,
            "INSERT INTO t (a, b, c, d) VALUES (1, 'x', CAST('{}' AS BLOB), NOW()), (2, 'it''s', CAST('{}' AS BLOB), NOW());\
             UPDATE t SET n = n - CASE id WHEN 3 THEN 2 WHEN 7 THEN 1 END WHERE id IN (3, 7) AND day = 9;\
             DELETE FROM t WHERE a = 5"
        );
        assert_eq!(text.rows, Some(5));
    }

    #[test]
    fn sums_are_added_to_what_is_there_and_held_to_no_count() {
        let sums = Sums {
            table: "t",
            key: "id, day",
            columns: &["n", "m"],
        };
        for (dialect, tail) in [
            (
                Dialect::MySql,
                "ON DUPLICATE KEY UPDATE n = t.n + VALUES(n), m = t.m + VALUES(m)",
            ),
            (
                Dialect::Sqlite,
                "ON CONFLICT (id, day) DO UPDATE SET n = t.n + excluded.n, m = t.m + excluded.m",
            ),
        ] {
            let mut writes = Writes::new(dialect);
            writes.push("DELETE FROM t WHERE a = ?", &[5_i64.into()], 1);
            writes.add_up(&sums, &[1, 2], |id, row| {
                row.int(*id).text("d").int(3).int(-4);
            });
            let [held, sums] = writes.parts.as_slice() else {
                panic!("{} texts", writes.parts.len());
            };
            assert_eq!((held.rows, sums.rows), (Some(1), None));
            let head = "INSERT INTO t (id, day, n, m) VALUES (1, 'd', 3, -4), (2, 'd', 3, -4) ";
            assert_eq!(sums.sql, format!("{head}{tail}"));
        }
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
