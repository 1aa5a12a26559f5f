//! Writes of one transaction, gathered and sent together: on MySQL and MariaDB in one round trip, whatever their number; on
//! SQLite, which has no round trips, one prepared statement after another. Each write says how many rows it changes, and is
//! held to it. Stores of batches use it; what is written is their affair.

use sea_orm::{ConnectionTrait, Value};

use super::dialect::{chunks, list, rows};
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
    statements: Vec<Write>,
}

struct Write {
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

impl Writes {
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            statements: Vec::new(),
        }
    }

    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// One statement with `?` for each value and nowhere else.
    pub fn push(&mut self, sql: impl Into<String>, values: Vec<Value>, rows: usize) {
        self.statements.push(Write {
            sql: sql.into(),
            values,
            rows,
        });
    }

    /// `head` up to VALUES; each item gives the values of one row, `columns` of them.
    pub fn insert<T>(
        &mut self,
        head: &str,
        columns: usize,
        items: &[T],
        row: impl Fn(&T, &mut Vec<Value>),
    ) {
        for part in self.parts(items, INSERT_ROWS_MAX, INSERT_ROWS_MAX_SQLITE) {
            let mut values = Vec::with_capacity(part.len() * columns);
            for item in part {
                row(item, &mut values);
            }
            let sql = format!("{head} VALUES {}", rows(part.len(), columns));
            self.push(sql, values, part.len());
        }
    }

    /// `values` by key, in order of key. Every row must be there.
    pub fn update(&mut self, keyed: &Keyed<'_>, values: impl IntoIterator<Item = (i64, i64)>) {
        let mut values: Vec<(i64, i64)> = values.into_iter().collect();
        values.sort_unstable();
        for part in self.parts(&values, UPDATE_ROWS_MAX, UPDATE_ROWS_MAX) {
            let cases = part.iter().flat_map(|(key, value)| [*key, *value]);
            let keys = part.iter().map(|(key, _)| *key);
            let guard = keyed.guard.map(|(_, value)| value);
            let values = cases.chain(keys).chain(guard).map(Into::into).collect();
            self.push(keyed.sql(self.dialect, part.len()), values, part.len());
        }
    }

    fn parts<'t, T>(&self, items: &'t [T], max: usize, max_sqlite: usize) -> Vec<&'t [T]> {
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
    /// Those of the statements; `Error::Other` when one did not change the rows that it must, which is a defect: roll back.
    pub async fn send(self, tx: &Transaction) -> Result<(), Error> {
        match self.dialect {
            Dialect::MySql => self.send_text(tx).await,
            Dialect::Sqlite => self.send_prepared(tx).await,
        }
    }

    async fn send_prepared(self, tx: &Transaction) -> Result<(), Error> {
        for Write { sql, values, rows } in self.statements {
            let done = tx
                .execute_raw(self.dialect.statement(sql.as_str(), values))
                .await?;
            check(done.rows_affected(), rows as u64, &sql)?;
        }
        Ok(())
    }

    async fn send_text(self, tx: &Transaction) -> Result<(), Error> {
        let mut text = String::new();
        let mut expected = 0;
        for Write { sql, values, rows } in &self.statements {
            if !text.is_empty() {
                text.push(';');
            }
            inline(sql, values, &mut text)?;
            expected += *rows as u64;
            if text.len() >= TEXT_BYTES {
                run_text(tx, &mut text, &mut expected).await?;
            }
        }
        run_text(tx, &mut text, &mut expected).await
    }
}

async fn run_text(tx: &Transaction, text: &mut String, expected: &mut u64) -> Result<(), Error> {
    if !text.is_empty() {
        let done = tx.execute_unprepared(text).await?;
        // None can change more than it names, so the sum is right only where each is.
        check(done.rows_affected(), *expected, "a batch of writes")?;
    }
    text.clear();
    *expected = 0;
    Ok(())
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
    fn sql(&self, dialect: Dialect, size: usize) -> String {
        let Self {
            table,
            key,
            column,
            relative,
            guard,
        } = self;
        let guard = guard.map_or(String::new(), |(guard, _)| format!(" AND {guard} = ?"));
        format!(
            "UPDATE {table}{} SET {column} = {relative}CASE {key}{} END WHERE {key} IN ({}){guard}",
            dialect.force_primary(),
            " WHEN ? THEN ?".repeat(size),
            list(size)
        )
    }
}

/// Writes the values in place of the question marks, as MySQL and MariaDB read them whatever their `sql_mode`.
fn inline(sql: &str, values: &[Value], out: &mut String) -> Result<(), Error> {
    let mut values = values.iter();
    let mut parts = sql.split('?');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let value = values
            .next()
            .ok_or_else(|| Error::Other(format!("too few values for {sql}")))?;
        literal(value, out)?;
        out.push_str(part);
    }
    match values.next() {
        None => Ok(()),
        Some(_) => Err(Error::Other(format!("too many values for {sql}"))),
    }
}

fn literal(value: &Value, out: &mut String) -> Result<(), Error> {
    match value {
        Value::BigInt(Some(number)) => out.push_str(&number.to_string()),
        Value::Int(Some(number)) => out.push_str(&number.to_string()),
        Value::SmallInt(Some(number)) => out.push_str(&number.to_string()),
        Value::String(Some(text)) => quoted(text, out),
        Value::Bytes(Some(bytes)) => binary(bytes, out),
        Value::BigInt(None)
        | Value::Int(None)
        | Value::SmallInt(None)
        | Value::String(None)
        | Value::Bytes(None) => out.push_str("NULL"),
        other => {
            return Err(Error::Other(format!(
                "a value of this kind is not written: {other:?}"
            )));
        }
    }
    Ok(())
}

/// Quoted where no character has a meaning inside quotes in any mode; else its bytes in hexadecimal.
fn quoted(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push('\'');
        out.push_str(text);
        out.push('\'');
    } else {
        out.push_str("_utf8mb4 ");
        hex(text.as_bytes(), out);
    }
}

/// Text among the bytes, such as JSON, is quoted: half as long as its digits.
fn binary(bytes: &[u8], out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() && is_plain(text) => {
            out.push_str("_binary '");
            out.push_str(text);
            out.push('\'');
        }
        _ => hex(bytes, out),
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b != b'\'' && b != b'\\' && b >= b' ')
}

fn hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2 + 3);
    out.push_str("X'");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inlined(sql: &str, values: &[Value]) -> Result<String, Error> {
        let mut out = String::new();
        inline(sql, values, &mut out).map(|()| out)
    }

    #[test]
    fn values_stand_where_the_question_marks_were() {
        let values = [
            7_i64.into(),
            (-3_i32).into(),
            None::<String>.into(),
            "말 \"? x".into(),
            vec![0_u8, 255].into(),
            b"{\"a\":1}".to_vec().into(),
            b"it's".to_vec().into(),
        ];
        assert_eq!(
            inlined("(?, ?, ?, ?, ?, ?, ?)", &values).unwrap(),
            "(7, -3, NULL, '말 \"? x', X'00FF', _binary '{\"a\":1}', X'69742773')"
        );
        assert!(inlined("?, ?", &[1_i64.into()]).is_err());
        assert!(inlined("?", &[1_i64.into(), 2_i64.into()]).is_err());
        assert!(inlined("?", &[1.5_f64.into()]).is_err());
    }

    #[test]
    fn text_cannot_end_its_literal() {
        for text in [
            "'",
            "\\",
            "a\\' OR 1=1 -- ",
            "\0",
            "\n",
            "';DROP TABLE orders;--",
        ] {
            let mut out = String::new();
            quoted(text, &mut out);
            let digits = out
                .strip_prefix("_utf8mb4 X'")
                .unwrap()
                .strip_suffix('\'')
                .unwrap();
            assert!(digits.bytes().all(|b| b.is_ascii_hexdigit()), "{out}");
            assert_eq!(digits.len(), text.len() * 2);
        }
    }
}
