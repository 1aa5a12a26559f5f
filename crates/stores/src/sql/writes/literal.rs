//! Values in the text of a statement, as MySQL and MariaDB read them whatever their `sql_mode` and character set, and SQLite.
//! `Writes` and `Reads` call it.

use sea_orm::Value;

use crate::sql::{Dialect, Error};

/// Writes the values in place of the question marks.
pub(in crate::sql) fn inline(
    dialect: Dialect,
    sql: &str,
    values: &[Value],
    out: &mut String,
) -> Result<(), Error> {
    let mut values = values.iter();
    let mut parts = sql.split('?');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let value = values
            .next()
            .ok_or_else(|| Error::Other(format!("too few values for {sql}")))?;
        any(dialect, value, out)?;
        out.push_str(part);
    }
    match values.next() {
        None => Ok(()),
        Some(_) => Err(Error::Other(format!("too many values for {sql}"))),
    }
}

fn any(dialect: Dialect, value: &Value, out: &mut String) -> Result<(), Error> {
    match value {
        Value::BigInt(number) => int(*number, out),
        Value::Int(number) => int(number.map(i64::from), out),
        Value::SmallInt(number) => int(number.map(i64::from), out),
        Value::String(string) => text(dialect, string.as_deref(), out),
        Value::Bytes(Some(value)) => bytes(dialect, value, out),
        Value::Bytes(None) => out.push_str("NULL"),
        other => {
            return Err(Error::Other(format!(
                "a value of this kind is not written: {other:?}"
            )));
        }
    }
    Ok(())
}

pub(super) fn int(number: Option<i64>, out: &mut String) {
    match number {
        Some(number) => out.push_str(itoa::Buffer::new().format(number)),
        None => out.push_str("NULL"),
    }
}

/// Quoted where no character but the quote, which is doubled, has a meaning inside quotes in any mode; else its bytes in hexadecimal.
pub(super) fn text(dialect: Dialect, text: Option<&str>, out: &mut String) {
    match text {
        None => out.push_str("NULL"),
        Some(text) if is_plain(text) => between("'", text, "'", out),
        Some(text) if text.split('\'').all(is_plain) => {
            between("'", &text.replace('\'', "''"), "'", out);
        }
        Some(text) => {
            let (before, after) = match dialect {
                Dialect::MySql => ("_utf8mb4 ", ""),
                Dialect::Sqlite => ("CAST(", " AS TEXT)"),
            };
            out.push_str(before);
            hex(text.as_bytes(), out);
            out.push_str(after);
        }
    }
}

/// Text among the bytes, such as JSON, is quoted: half as long as its digits.
pub(super) fn bytes(dialect: Dialect, bytes: &[u8], out: &mut String) {
    let (before, after) = match dialect {
        Dialect::MySql => ("_binary '", "'"),
        Dialect::Sqlite => ("CAST('", "' AS BLOB)"),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() && is_plain(text) => between(before, text, after, out),
        _ => hex(bytes, out),
    }
}

fn between(before: &str, text: &str, after: &str, out: &mut String) {
    for piece in [before, text, after] {
        out.push_str(piece);
    }
}

fn is_plain(text: &str) -> bool {
    // Without an early end, which lets the compiler look at many bytes at once; nearly all text is plain.
    let special = |byte: &u8| *byte == b'\'' || *byte == b'\\' || *byte < b' ';
    !text
        .as_bytes()
        .iter()
        .fold(false, |any, byte| any | special(byte))
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

    fn inlined(dialect: Dialect, sql: &str, values: &[Value]) -> Result<String, Error> {
        let mut out = String::new();
        inline(dialect, sql, values, &mut out).map(|()| out)
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
        let marks = "(?, ?, ?, ?, ?, ?, ?)";
        assert_eq!(
            inlined(Dialect::MySql, marks, &values).unwrap(),
            "(7, -3, NULL, '말 \"? x', X'00FF', _binary '{\"a\":1}', X'69742773')"
        );
        assert_eq!(
            inlined(Dialect::Sqlite, marks, &values).unwrap(),
            "(7, -3, NULL, '말 \"? x', X'00FF', CAST('{\"a\":1}' AS BLOB), X'69742773')"
        );
        for dialect in [Dialect::MySql, Dialect::Sqlite] {
            assert!(inlined(dialect, "?, ?", &[1_i64.into()]).is_err());
            assert!(inlined(dialect, "?", &[1_i64.into(), 2_i64.into()]).is_err());
            assert!(inlined(dialect, "?", &[1.5_f64.into()]).is_err());
        }
    }

    #[test]
    fn text_cannot_end_its_literal() {
        for given in ["\\", "a\\' OR 1=1 -- ", "\0", "\n", "'\n"] {
            for (dialect, before, after) in [
                (Dialect::MySql, "_utf8mb4 X'", "'"),
                (Dialect::Sqlite, "CAST(X'", "' AS TEXT)"),
            ] {
                let mut out = String::new();
                text(dialect, Some(given), &mut out);
                let digits = out.strip_prefix(before).unwrap();
                let digits = digits.strip_suffix(after).unwrap();
                assert!(digits.bytes().all(|b| b.is_ascii_hexdigit()), "{out}");
                assert_eq!(digits.len(), given.len() * 2);
            }
        }
        for given in ["'", "it's", "''", "';DROP TABLE orders;--"] {
            for dialect in [Dialect::MySql, Dialect::Sqlite] {
                let mut out = String::new();
                text(dialect, Some(given), &mut out);
                let inside = out.strip_prefix('\'').unwrap();
                let inside = inside.strip_suffix('\'').unwrap();
                assert!(!inside.replace("''", "").contains('\''), "{out}");
                assert_eq!(inside.replace("''", "'"), given);
            }
        }
    }
}
