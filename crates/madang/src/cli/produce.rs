//! `madang produce TOPIC`: reads stdin, one record a line, and awaits that each is durable.

use std::io::BufRead;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use messaging::log::EventLog;
use messaging::record::{Headers, Outgoing};

use super::records::{Format, from_json};
use crate::config::Config;
use crate::shop::{self, Shop};

#[derive(clap::Args)]
pub struct Args {
    topic: String,
    /// The key of every record.
    #[arg(long)]
    key: Option<String>,
    /// Each line is key, separator, value.
    #[arg(long, conflicts_with = "key")]
    key_separator: Option<String>,
    /// A header of every record; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// json: each line is an object with key, value and headers, as `consume --format json` prints it.
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with_all = ["key", "key_separator"])]
    format: Format,
    /// Lines published together.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_max: u32,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let shop = Shop::open(config).await?;
    let log = shop::open_log(&shop).await?;
    log.topic(&args.topic).await?;
    let batch_max = args.batch_max as usize;
    let (send, mut batches) = tokio::sync::mpsc::channel(2);
    // stdin can only be read by blocking a thread.
    let reader = tokio::task::spawn_blocking(move || read(&args, batch_max, &send));
    let mut published = 0_u64;
    while let Some(batch) = batches.recv().await {
        published += publish(&log, batch, published).await?;
    }
    reader.await??;
    eprintln!("records published: {published}");
    Ok(())
}

fn read(
    args: &Args,
    batch_max: usize,
    send: &tokio::sync::mpsc::Sender<Vec<Outgoing>>,
) -> anyhow::Result<()> {
    let mut batch = Vec::new();
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        if input
            .read_until(b'\n', &mut line)
            .context("stdin cannot be read")?
            == 0
        {
            break;
        }
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        batch.push(record(args, text).with_context(|| format!("line {number}"))?);
        // A person who types, or a slow program, does not wait for a full batch.
        let more_at_hand = input.fill_buf().is_ok_and(|rest| rest.contains(&b'\n'));
        if (batch.len() >= batch_max || !more_at_hand)
            && send.blocking_send(std::mem::take(&mut batch)).is_err()
        {
            break;
        }
    }
    if !batch.is_empty() {
        // Whoever receives has failed, and says so.
        let _ = send.blocking_send(batch);
    }
    Ok(())
}

fn record(args: &Args, line: &[u8]) -> anyhow::Result<Outgoing> {
    if args.format == Format::Json {
        let mut record = from_json(&args.topic, std::str::from_utf8(line)?)?;
        for (name, value) in &args.headers {
            record.headers.append(name.clone(), value.clone());
        }
        return Ok(record);
    }
    let (key, value) = match &args.key_separator {
        None => (args.key.as_ref().map(|key| Bytes::from(key.clone())), line),
        Some(separator) => {
            let at = find(line, separator.as_bytes())
                .with_context(|| format!("the separator {separator:?} is not in it"))?;
            let key = Bytes::copy_from_slice(&line[..at]);
            (Some(key), &line[at + separator.len()..])
        }
    };
    let mut headers = Headers::new();
    for (name, value) in &args.headers {
        headers.append(name.clone(), value.clone());
    }
    Ok(Outgoing {
        topic: args.topic.clone(),
        key,
        value: Some(Bytes::copy_from_slice(value)),
        headers,
        ..Outgoing::default()
    })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    text.windows(part.len()).position(|window| window == part)
}

async fn publish(
    log: &Arc<dyn EventLog>,
    batch: Vec<Outgoing>,
    before: u64,
) -> anyhow::Result<u64> {
    let mut count = 0;
    for result in log.publish(batch).await {
        result.with_context(|| format!("record {} was not published", before + count + 1))?;
        count += 1;
    }
    Ok(count)
}
