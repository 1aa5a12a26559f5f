//! `madang dlt list`: each dead-letter topic in numbers.

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Timestamp;
use messaging::dead_letters::{Pages, Place, Story, mark};
use messaging::log::{Error, EventLog};
use messaging::record::Record;
use serde_json::{Value, json};

use super::filter::Filter;
use crate::config::Config;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Every dead-letter topic that is meant, empty ones too.
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Sum {
    records: u64,
    not_redriven: u64,
    causes: BTreeMap<String, u64>,
    /// When the oldest and the newest died, in milliseconds since the epoch.
    span_ms: Option<(i64, i64)>,
}

impl Sum {
    fn add(&mut self, record: &Record, redriven: bool) {
        self.records += 1;
        self.not_redriven += u64::from(!redriven);
        let cause = Story::of(record).cause;
        *self.causes.entry(cause).or_default() += 1;
        let at = record.timestamp_ms;
        let (oldest, newest) = self.span_ms.unwrap_or((at, at));
        self.span_ms = Some((oldest.min(at), newest.max(at)));
    }
}

pub async fn run(args: &Args, config: &Config, log: &dyn EventLog) -> anyhow::Result<()> {
    let mut sums = Vec::new();
    for place in args.filter.places(config)? {
        let sum = sum(log, &place, &args.filter).await?;
        sums.push((place, sum));
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let all: Vec<Value> = sums
            .iter()
            .map(|(place, sum)| as_json(place, sum))
            .collect();
        writeln!(out, "{:#}", Value::Array(all))?;
        return Ok(());
    }
    sums.retain(|(_, sum)| sum.records > 0);
    if sums.is_empty() {
        writeln!(out, "no dead letters")?;
    }
    for (place, sum) in &sums {
        print(place, sum, &mut out)?;
    }
    Ok(())
}

async fn sum(log: &dyn EventLog, place: &Place, filter: &Filter) -> Result<Sum, Error> {
    let mut sum = Sum::default();
    let mut pages = match Pages::open(log, &place.topic).await {
        Ok(pages) => pages,
        // Nobody has served this shop yet.
        Err(Error::UnknownTopic(_)) => return Ok(sum),
        Err(error) => return Err(error),
    };
    if pages.is_empty() {
        return Ok(sum);
    }
    let redriven = place.redriven(log).await?;
    while let Some(page) = pages.next().await? {
        for record in page.iter().filter(|record| filter.wants(record)) {
            sum.add(record, redriven.contains(&mark(record)));
        }
    }
    Ok(sum)
}

fn print(place: &Place, sum: &Sum, out: &mut impl Write) -> std::io::Result<()> {
    let Sum {
        records,
        not_redriven,
        ..
    } = sum;
    writeln!(out, "{}", place.topic)?;
    writeln!(
        out,
        "  {records} dead letters of group {}, {not_redriven} not redriven",
        place.group
    )?;
    if let Some((oldest, newest)) = sum.span_ms {
        writeln!(out, "  from {} to {}", time(oldest), time(newest))?;
    }
    for (cause, count) in &sum.causes {
        writeln!(
            out,
            "  {count:>7}  {}",
            super::headers::text(cause.as_bytes())
        )?;
    }
    Ok(())
}

fn as_json(place: &Place, sum: &Sum) -> Value {
    json!({
        "deadLetterTopic": place.topic,
        "topic": place.source,
        "group": place.group,
        "records": sum.records,
        "notRedriven": sum.not_redriven,
        "oldest": sum.span_ms.map(|(oldest, _)| time(oldest)),
        "newest": sum.span_ms.map(|(_, newest)| time(newest)),
        "causes": sum.causes,
    })
}

/// RFC 3339.
pub fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}
