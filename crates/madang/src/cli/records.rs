//! Records as lines of text or JSON, to print and to read.
//! JSON: `{"topic","partition","offset","timestamp","key","value","headers":[{"name","value"}]}`; what is not UTF-8 is base64 in
//! `keyBase64`, `valueBase64`. `consume` writes it and `produce` reads it back.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use messaging::record::{Headers, Outgoing, Record};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The value, one record a line.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is shown beside the value in text.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    pub keys: bool,
    pub headers: bool,
}

pub fn line(record: &Record, format: Format, beside: Beside) -> Vec<u8> {
    match format {
        Format::Json => as_json(record).to_string().into_bytes(),
        Format::Text => as_text(record, beside),
    }
}

fn as_text(record: &Record, beside: Beside) -> Vec<u8> {
    let mut line = Vec::new();
    if beside.headers {
        let shown = record.headers.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={}", value.escape_ascii()),
            None => name.to_owned(),
        });
        line.extend_from_slice(shown.collect::<Vec<_>>().join(",").as_bytes());
        line.push(b'\t');
    }
    if beside.keys {
        line.extend_from_slice(record.key.as_deref().unwrap_or(b"null"));
        line.push(b'\t');
    }
    line.extend_from_slice(record.value.as_deref().unwrap_or(b"null"));
    line
}

pub fn as_json(record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("topic".into(), json!(record.topic));
    object.insert("partition".into(), json!(record.partition));
    object.insert("offset".into(), json!(record.offset));
    object.insert("timestamp".into(), json!(record.timestamp_ms));
    put(&mut object, "key", record.key.as_ref());
    put(&mut object, "value", record.value.as_ref());
    let headers = record.headers.iter().map(|(name, value)| {
        let mut header = Map::new();
        header.insert("name".into(), json!(name));
        put(&mut header, "value", value);
        Value::Object(header)
    });
    object.insert("headers".into(), headers.collect());
    Value::Object(object)
}

fn put(object: &mut Map<String, Value>, name: &str, bytes: Option<&Bytes>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => {
            let encoded = STANDARD.encode(bytes.map_or(&[][..], |bytes| bytes));
            object.insert(format!("{name}Base64"), json!(encoded))
        }
    };
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    key: Option<String>,
    key_base64: Option<String>,
    /// A text is the value itself, anything else its JSON.
    #[serde(default)]
    value: Value,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Vec<GivenHeader>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenHeader {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

/// A record for `topic` from a line of JSON; fields that say where it lay are ignored.
///
/// # Errors
/// The line is not such an object.
pub fn from_json(topic: &str, line: &str) -> anyhow::Result<Outgoing> {
    let given: Given = serde_json::from_str(line).context("not a record in JSON")?;
    let value = match given.value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    let mut headers = Headers::new();
    for header in given.headers {
        headers.append_nullable(header.name, either(header.value, header.value_base64)?);
    }
    Ok(Outgoing {
        topic: topic.to_owned(),
        key: either(given.key, given.key_base64)?,
        value: either(value, given.value_base64)?,
        headers,
        ..Outgoing::default()
    })
}

fn either(text: Option<String>, base64: Option<String>) -> anyhow::Result<Option<Bytes>> {
    match (text, base64) {
        (_, Some(encoded)) => {
            let decoded = STANDARD.decode(encoded).context("not base64")?;
            Ok(Some(Bytes::from(decoded)))
        }
        (text, None) => Ok(text.map(Bytes::from)),
    }
}

#[cfg(test)]
mod tests {
    use messaging::record::TimestampType;

    use super::*;

    fn record(key: Option<&'static [u8]>, value: &'static [u8]) -> Record {
        let mut headers = Headers::new();
        headers.append("ce_type", "order.completed");
        Record {
            topic: "t".into(),
            partition: 2,
            offset: 7,
            timestamp_ms: 1,
            timestamp_type: TimestampType::CreateTime,
            key: key.map(Bytes::from_static),
            value: Some(Bytes::from_static(value)),
            headers,
        }
    }

    #[test]
    fn json_is_read_back_as_it_was() {
        for record in [record(Some(b"1"), b"{}"), record(None, b"\xff\x00")] {
            let line = String::from_utf8(line(&record, Format::Json, NOTHING)).unwrap();
            let back = from_json("t", &line).unwrap();
            assert_eq!(back.key, record.key);
            assert_eq!(back.value, record.value);
            assert_eq!(back.headers, record.headers);
        }
        assert!(from_json("t", "[]").is_err());
        assert_eq!(
            from_json("t", r#"{"value":{"a":1}}"#)
                .unwrap()
                .value
                .unwrap(),
            r#"{"a":1}"#
        );
    }

    const NOTHING: Beside = Beside {
        keys: false,
        headers: false,
    };

    #[test]
    fn text_shows_what_is_asked_for() {
        let record = record(Some(b"1"), b"v");
        assert_eq!(line(&record, Format::Text, NOTHING), b"v");
        let all = Beside {
            keys: true,
            headers: true,
        };
        assert_eq!(
            line(&record, Format::Text, all),
            b"ce_type=order.completed\t1\tv"
        );
    }
}
