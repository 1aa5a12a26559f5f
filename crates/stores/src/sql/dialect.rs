//! Every difference between MySQL/MariaDB and SQLite, in one place: lock clauses, upserts, column types, the clock.
//! Statements elsewhere use `?` placeholders and words that all three engines take.

use sea_orm::{DbBackend, Statement, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL 8.4+ and MariaDB 10.11+.
    MySql,
    Sqlite,
}

impl Dialect {
    #[must_use]
    pub fn statement(self, sql: impl Into<String>, values: Vec<Value>) -> Statement {
        let backend = match self {
            Self::MySql => DbBackend::MySql,
            Self::Sqlite => DbBackend::Sqlite,
        };
        Statement::from_sql_and_values(backend, sql, values)
    }

    /// After the table's name where rows are locked by `id IN (...)`: without it a small table is scanned whole,
    /// locking rows nobody asked for, in no particular order.
    #[must_use]
    pub fn force_primary(self) -> &'static str {
        match self {
            Self::MySql => " FORCE INDEX (PRIMARY)",
            Self::Sqlite => "",
        }
    }

    /// At the end of a locking read. SQLite's writers hold the whole file from BEGIN IMMEDIATE on.
    #[must_use]
    pub fn for_update(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// Between an INSERT's values and its assignments: `... {on_conflict} balance = ...`.
    #[must_use]
    pub fn on_conflict(self, key: &str) -> String {
        match self {
            Self::MySql => "ON DUPLICATE KEY UPDATE".to_owned(),
            Self::Sqlite => format!("ON CONFLICT ({key}) DO UPDATE SET"),
        }
    }

    /// Inside those assignments: the value that the conflicting row would have had.
    /// (`VALUES(c)` is deprecated in MySQL 8.4 and still taken by it and by MariaDB; its successor is MySQL's alone.)
    #[must_use]
    pub fn incoming(self, column: &str) -> String {
        match self {
            Self::MySql => format!("VALUES({column})"),
            Self::Sqlite => format!("excluded.{column}"),
        }
    }

    /// `INSERT IGNORE` in each engine's words. On MySQL it also swallows other errors: only for rows whose values cannot be wrong.
    #[must_use]
    pub fn insert_ignore(self) -> &'static str {
        match self {
            Self::MySql => "INSERT IGNORE",
            Self::Sqlite => "INSERT OR IGNORE",
        }
    }

    /// An expression for the database's own time in microseconds since the epoch.
    #[must_use]
    pub fn now_us(self) -> &'static str {
        match self {
            // Sessions run at UTC.
            Self::MySql => "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)))",
            // unixepoch('subsec') has milliseconds, which is all SQLite offers.
            Self::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) * 1000 AS INTEGER)",
        }
    }

    /// Column type for up to 4 GiB of bytes.
    #[must_use]
    pub fn blob(self) -> &'static str {
        match self {
            Self::MySql => "LONGBLOB",
            Self::Sqlite => "BLOB",
        }
    }

    /// Column type for long UTF-8 text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::MySql => "LONGTEXT",
            Self::Sqlite => "TEXT",
        }
    }

    /// Column type for ASCII names and keys compared byte by byte.
    #[must_use]
    pub fn ascii(self, length: u16) -> String {
        match self {
            Self::MySql => format!("VARCHAR({length}) CHARACTER SET ascii COLLATE ascii_bin"),
            Self::Sqlite => format!("VARCHAR({length})"),
        }
    }

    /// Column type for ASCII of one length.
    #[must_use]
    pub fn ascii_fixed(self, length: u16) -> String {
        match self {
            Self::MySql => format!("CHAR({length}) CHARACTER SET ascii COLLATE ascii_bin"),
            Self::Sqlite => format!("CHAR({length})"),
        }
    }

    /// `DELETE ...` up to its WHERE, for rows named by primary key: a small table must not be scanned here either,
    /// and MySQL takes an index hint only in this form.
    #[must_use]
    pub fn delete_by_primary(self, table: &str) -> String {
        match self {
            Self::MySql => format!("DELETE {table} FROM {table} FORCE INDEX (PRIMARY)"),
            Self::Sqlite => format!("DELETE FROM {table}"),
        }
    }

    /// At the end of CREATE TABLE.
    #[must_use]
    pub fn table_options(self) -> &'static str {
        match self {
            Self::MySql => " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
            // Clustered by the primary key, as InnoDB is.
            Self::Sqlite => " WITHOUT ROWID",
        }
    }
}

/// `(?, ?, ...), (?, ?, ...)` for a multi-row INSERT.
#[must_use]
pub fn rows(rows: usize, columns: usize) -> String {
    let row = format!("({})", list(columns));
    let mut sql = String::with_capacity((row.len() + 2) * rows);
    for i in 0..rows {
        if i > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&row);
    }
    sql
}

/// `?, ?, ...`
#[must_use]
pub fn list(count: usize) -> String {
    let mut sql = String::with_capacity(count * 3);
    for i in 0..count {
        sql.push_str(if i == 0 { "?" } else { ", ?" });
    }
    sql
}

/// The lengths of the pieces that `count` rows are written in: powers of two, largest first, so that the number of
/// different statements stays small (each new one evicts a prepared statement, and over TCP that stalls).
#[must_use]
pub fn chunks(count: usize, chunk_max: usize) -> Vec<usize> {
    let mut left = count;
    let mut size = (chunk_max.max(1) + 1).next_power_of_two() / 2;
    let mut chunks = Vec::new();
    while left > 0 {
        while size > left {
            size /= 2;
        }
        chunks.push(size);
        left -= size;
    }
    chunks
}

/// Pads the values of an IN list to a power of two by repeating the last, for the same reason. Empty stays empty.
#[must_use]
pub fn padded<T: Clone>(values: &[T]) -> Vec<T> {
    let mut padded = values.to_vec();
    if let Some(last) = values.last() {
        padded.resize(values.len().next_power_of_two(), last.clone());
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_powers_of_two_and_add_up() {
        assert_eq!(chunks(0, 64), Vec::<usize>::new());
        assert_eq!(chunks(7, 64), vec![4, 2, 1]);
        assert_eq!(chunks(200, 64), vec![64, 64, 64, 8]);
        for count in 0..300 {
            for max in [1, 2, 63, 64, 65] {
                let pieces = chunks(count, max);
                assert_eq!(pieces.iter().sum::<usize>(), count);
                assert!(pieces.iter().all(|p| p.is_power_of_two() && *p <= max));
            }
        }
    }

    #[test]
    fn padding_repeats_the_last() {
        assert_eq!(padded(&[1, 2, 3]), vec![1, 2, 3, 3]);
        assert!(padded::<i64>(&[]).is_empty());
    }
}
