//! `madang dlt show`: dead letters one by one.
//! JSON: an object a line, as `consume --format json` prints a record, and beside that what its headers say.

use std::io::{BufWriter, Write};

use messaging::dead_letters::{Pages, Place, Story, id, mark};
use messaging::log::{Error, EventLog};
use messaging::record::Record;
use serde_json::{Value, json};

use super::filter::Filter;
use super::headers;
use super::list::time;
use crate::cli::records::as_json;
use crate::config::Config;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Show so many at most.
    #[arg(long)]
    limit: Option<u64>,
    /// Only what has not been redriven.
    #[arg(long)]
    not_redriven: bool,
    #[arg(long)]
    json: bool,
}

pub async fn run(args: &Args, config: &Config, log: &dyn EventLog) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout());
    let mut left = args.limit.unwrap_or(u64::MAX);
    for place in args.filter.places(config)? {
        let mut pages = match Pages::open(log, &place.topic).await {
            Ok(pages) => pages,
            // Nobody has served this shop yet.
            Err(Error::UnknownTopic(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        if pages.is_empty() {
            continue;
        }
        let marks = place.redriven(log).await?;
        while left > 0
            && let Some(page) = pages.next().await?
        {
            for record in page.iter().filter(|record| args.filter.wants(record)) {
                let redriven = marks.contains(&mark(record));
                if left == 0 || (redriven && args.not_redriven) {
                    continue;
                }
                left -= 1;
                if args.json {
                    writeln!(out, "{}", told(&place, record, redriven))?;
                } else {
                    print(&place, record, redriven, &mut out)?;
                }
            }
            out.flush()?;
        }
    }
    Ok(())
}

fn print(
    place: &Place,
    record: &Record,
    redriven: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let story = Story::of(record);
    let state = if redriven { "redriven" } else { "not redriven" };
    writeln!(
        out,
        "{}  dead since {}, {state}",
        id(record),
        time(record.timestamp_ms)
    )?;
    let cause = headers::text(story.cause.as_bytes());
    let message = headers::text(story.message.as_bytes());
    writeln!(out, "  cause    {cause}: {message}")?;
    match &story.origin {
        Some(origin) => writeln!(
            out,
            "  from     {}-{}@{}, written {}; {} deliveries to group {}",
            origin.topic,
            origin.partition,
            origin.offset,
            story.written_ms.map_or_else(String::new, time),
            story.deliveries,
            place.group,
        )?,
        None => writeln!(out, "  meant for {}", place.source)?,
    }
    let key = record
        .key
        .as_deref()
        .map_or("null".to_owned(), headers::text);
    let value = record
        .value
        .as_deref()
        .map_or("null".to_owned(), headers::text);
    writeln!(out, "  key      {key}")?;
    for (name, value) in record.headers.iter() {
        let said = headers::in_words(name, value.map(|bytes| bytes.as_ref()));
        writeln!(
            out,
            "  header   {} = {said}",
            headers::text(name.as_bytes())
        )?;
    }
    writeln!(out, "  value    {value}")
}

fn told(place: &Place, record: &Record, redriven: bool) -> Value {
    let story = Story::of(record);
    let mut object = as_json(record);
    object["id"] = json!(id(record));
    object["group"] = json!(place.group);
    object["source"] = json!(place.source);
    object["redriven"] = json!(redriven);
    object["deadSince"] = json!(time(record.timestamp_ms));
    object["cause"] = json!(story.cause);
    object["message"] = json!(story.message);
    object["deliveries"] = json!(story.deliveries);
    object["original"] = story.origin.map_or(Value::Null, |origin| {
        json!({
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "written": story.written_ms.map(time),
        })
    });
    if let Some(shown) = object["headers"].as_array_mut() {
        for (shown, (name, value)) in shown.iter_mut().zip(record.headers.iter()) {
            if let Some(number) = value.and_then(|bytes| headers::number(name, bytes)) {
                shown["number"] = json!(number);
            }
        }
    }
    object
}
