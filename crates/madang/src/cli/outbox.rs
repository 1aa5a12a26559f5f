//! `madang outbox`: what has been committed and not published yet.

use std::io::Write;

use commerce::clock::from_us;
use messaging::outbox::Event;
use serde_json::{Value, json};
use stores::sql::outbox::{Outbox, Waiting};

use crate::config::Config;
use crate::shop::{self, Shop};

#[derive(clap::Subcommand)]
pub enum Command {
    /// How many events wait for each topic, and the oldest of all.
    List {
        /// Events listed at most; all are counted.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let Command::List { limit, json } = command;
    let shop = Shop::open(config).await?;
    shop::migrate(&shop).await?;
    let outbox = Outbox::new(shop.database.clone());
    let topics = outbox.by_topic().await?;
    let oldest = outbox.oldest(limit).await?;
    let mut out = std::io::stdout().lock();
    match json {
        true => writeln!(out, "{:#}", as_json(&topics, &oldest))?,
        false => print(&topics, &oldest, &mut out)?,
    }
    Ok(())
}

fn print(topics: &[Waiting], oldest: &[Event], out: &mut impl Write) -> std::io::Result<()> {
    if topics.is_empty() {
        return writeln!(out, "nothing waits");
    }
    for waiting in topics {
        let Waiting {
            topic,
            events,
            oldest_us,
        } = waiting;
        writeln!(
            out,
            "{topic}: {events} wait, the oldest since {}",
            from_us(*oldest_us)
        )?;
    }
    for event in oldest {
        let (at, seq) = (from_us(event.created_us), number(event));
        let Event {
            id,
            topic,
            key,
            kind,
            ..
        } = event;
        writeln!(
            out,
            "  {at}  {id}  {topic}  {kind}  key {key}  number {seq}"
        )?;
    }
    Ok(())
}

/// The event's dense number; a dash where it has none.
fn number(event: &Event) -> String {
    event
        .seq
        .map_or_else(|| "-".to_owned(), |seq| seq.to_string())
}

fn as_json(topics: &[Waiting], oldest: &[Event]) -> Value {
    let topics: Vec<Value> = topics
        .iter()
        .map(|waiting| {
            json!({
                "topic": waiting.topic,
                "events": waiting.events,
                "oldest": from_us(waiting.oldest_us),
            })
        })
        .collect();
    let oldest: Vec<Value> = oldest
        .iter()
        .map(|event| {
            json!({
                "id": event.id,
                "shard": event.shard,
                "topic": event.topic,
                "key": event.key,
                "type": event.kind,
                "number": event.seq,
                "createdAt": from_us(event.created_us),
                "traceparent": event.traceparent,
                "payload": payload(event),
            })
        })
        .collect();
    json!({ "topics": topics, "oldest": oldest })
}

/// JSON as it is, anything else as text.
fn payload(event: &Event) -> Value {
    serde_json::from_slice(&event.payload)
        .unwrap_or_else(|_| String::from_utf8_lossy(&event.payload).into())
}
