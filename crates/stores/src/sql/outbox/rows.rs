//! A row as its columns hold it. A row of one event shows it, as Debezium's outbox router reads it; several are `packed`.
//! Part of the outbox.

use std::borrow::Cow;

use messaging::outbox::{Event, Row};
use sea_orm::QueryResult;
use uuid::Uuid;

use super::{Dialect, Error, Transaction, packed};
use crate::sql::writes::Writes;

pub(super) const COLUMNS: &str = "shard, id, aggregatetype, aggregateid, type, payload, headers, seq, traceparent, created_us, events";
/// Length of a W3C traceparent; anything else is none.
const TRACEPARENT_BYTES: usize = 55;

/// Writes rows in the caller's transaction.
///
/// # Errors
/// As `write_rows`; otherwise what the database says.
pub async fn insert_rows(tx: &Transaction, dialect: Dialect, rows: &[Row]) -> Result<(), Error> {
    let mut writes = Writes::new(dialect);
    write_rows(&mut writes, rows)?;
    writes.send(tx).await
}

/// Adds rows to what a transaction writes.
///
/// # Errors
/// `Error::Other` for a payload that is not UTF-8.
pub(in crate::sql) fn write_rows(writes: &mut Writes, rows: &[Row]) -> Result<(), Error> {
    let texts = rows.iter().map(Texts::of).collect::<Result<Vec<_>, _>>()?;
    let head = format!("INSERT INTO outbox ({COLUMNS})");
    writes.insert(&head, &texts, |texts, columns| {
        let Texts { row, event, .. } = texts;
        columns
            .int(i64::from(row.shard))
            .text(&*row.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            .text(event.topic.as_str())
            .text(event.key.as_str())
            .text(texts.kind())
            .text(&*texts.payload)
            .text(texts.headers.as_deref())
            .int(event.seq.filter(|_| texts.is_single()))
            .text(traceparent(event).filter(|_| texts.is_single()))
            .int(event.created_us)
            .int(row.events.len() as i64);
    });
    Ok(())
}

/// A row and how it is stored.
struct Texts<'a> {
    row: &'a Row,
    /// The first of the row, whose columns a row of one event shows.
    event: &'a Event,
    payload: Cow<'a, str>,
    headers: Option<String>,
}

impl<'a> Texts<'a> {
    fn of(row: &'a Row) -> Result<Self, Error> {
        let [event, others @ ..] = row.events.as_slice() else {
            return Err(Error::Other(format!("outbox row {} has no event", row.id)));
        };
        let (payload, headers) = match others {
            [] => (Cow::Borrowed(packed::text(event)?), headers(event)?),
            _ => (Cow::Owned(packed::written(&row.events)?), None),
        };
        Ok(Self {
            row,
            event,
            payload,
            headers,
        })
    }

    fn is_single(&self) -> bool {
        self.row.events.len() == 1
    }

    fn kind(&self) -> &str {
        match self.is_single() {
            true => &self.event.kind,
            false => packed::KIND,
        }
    }
}

/// What the column holds: some other text is no trace.
pub(super) fn traceparent(event: &Event) -> Option<&str> {
    let trace = event.traceparent.as_deref();
    trace.filter(|trace| trace.len() == TRACEPARENT_BYTES && trace.is_ascii())
}

fn headers(event: &Event) -> Result<Option<String>, Error> {
    if event.headers.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(&event.headers);
    text.map(Some).map_err(|e| Error::Other(e.to_string()))
}

pub(super) fn uuid(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|e| Error::Other(format!("outbox id {text}: {e}")))
}

pub(super) fn row_of(row: &QueryResult) -> Result<Row, Error> {
    let shard = row.try_get_by(0)?;
    let id: String = row.try_get_by(1)?;
    let topic: String = row.try_get_by(2)?;
    let kind: String = row.try_get_by(4)?;
    let payload: String = row.try_get_by(5)?;
    if row.try_get_by::<i16, _>(10)? != 1 {
        let id = uuid(&id)?;
        let events = packed::read(shard, &topic, &kind, payload)
            .map_err(|e| Error::Other(format!("outbox row {id}: {e}")))?;
        return Ok(Row { id, shard, events });
    }
    let headers: Option<String> = row.try_get_by(6)?;
    let event = Event {
        shard,
        id: uuid(&id)?,
        topic,
        key: row.try_get_by(3)?,
        kind,
        payload: payload.into(),
        headers: match headers {
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| Error::Other(format!("headers of outbox row {id}: {e}")))?,
            None => Vec::new(),
        },
        seq: row.try_get_by(7)?,
        traceparent: row.try_get_by(8)?,
        created_us: row.try_get_by(9)?,
    };
    Ok(event.into())
}
