//! `madang topics`: the topics of the log, Kafka's or the embedded one.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, bail};
use messaging::log::{EventLog, TopicInfo, TopicSpec};

use crate::config::Config;
use crate::shop::{self, Shop};

const HOUR_MS: i64 = 3_600_000;

#[derive(clap::Subcommand)]
pub enum Command {
    /// All topics.
    List {
        #[arg(long)]
        json: bool,
    },
    /// One topic, or all that the shop needs where none is named. What exists is left as it is.
    Create {
        topic: Option<String>,
        #[arg(long, default_value_t = 1, requires = "topic", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: i32,
        #[arg(long, default_value_t = 1, requires = "topic", value_parser = clap::value_parser!(i32).range(1..))]
        replication: i32,
        /// 0: for ever.
        #[arg(long, default_value_t = 168, requires = "topic", value_parser = clap::value_parser!(i64).range(0..))]
        retention_hours: i64,
    },
    /// Partitions with their first and next offsets.
    Describe {
        topic: String,
        #[arg(long)]
        json: bool,
    },
    /// Delete a topic and its records.
    Delete { topic: String },
}

pub async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let shop = Shop::open(config).await?;
    let log = shop::open_log(&shop).await?;
    match command {
        Command::List { json } => list(log, json).await,
        Command::Create {
            topic,
            partitions,
            replication,
            retention_hours,
        } => {
            let retention_ms = retention_hours.saturating_mul(HOUR_MS);
            let before = log.topics().await?;
            let wanted = match topic {
                None => shop::create_topics(log.as_ref(), &shop.config).await?,
                Some(name) => {
                    let one = TopicSpec {
                        name,
                        partitions,
                        replication,
                        retention_ms: (retention_ms > 0).then_some(retention_ms),
                        max_message_bytes: None,
                    };
                    log.create_topics(std::slice::from_ref(&one)).await?;
                    vec![one]
                }
            };
            tell_created(&before, &wanted)
        }
        Command::Describe { topic, json } => describe(log, &topic, json).await,
        Command::Delete { topic } => {
            log.delete_topic(&topic).await?;
            writeln!(std::io::stdout(), "deleted {topic}")?;
            Ok(())
        }
    }
}

async fn list(log: Arc<dyn EventLog>, json: bool) -> anyhow::Result<()> {
    let mut topics = log.topics().await?;
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    let mut out = std::io::stdout().lock();
    if json {
        let all: Vec<_> = topics.iter().map(to_json).collect();
        writeln!(out, "{:#}", serde_json::Value::Array(all))?;
        return Ok(());
    }
    let width = topics
        .iter()
        .map(|topic| topic.name.len())
        .max()
        .unwrap_or(0);
    for topic in topics {
        let TopicInfo {
            name,
            partitions,
            replication,
        } = topic;
        writeln!(
            out,
            "{name:<width$}  partitions {partitions}, replication {replication}"
        )?;
    }
    Ok(())
}

fn to_json(topic: &TopicInfo) -> serde_json::Value {
    serde_json::json!({
        "name": topic.name,
        "partitions": topic.partitions,
        "replication": topic.replication,
    })
}

fn tell_created(before: &[TopicInfo], wanted: &[TopicSpec]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for topic in wanted {
        match before.iter().find(|there| there.name == topic.name) {
            None => writeln!(out, "created {}", topic.name)?,
            Some(there) if there.partitions < topic.partitions => bail!(
                "{} has {} partitions, fewer than {}: it was left as it is",
                topic.name,
                there.partitions,
                topic.partitions
            ),
            Some(_) => writeln!(out, "exists  {}", topic.name)?,
        }
    }
    Ok(())
}

async fn describe(log: Arc<dyn EventLog>, name: &str, json: bool) -> anyhow::Result<()> {
    let topic = log.topic(name).await?;
    let marks = log
        .watermarks(name)
        .await
        .context("its offsets cannot be read")?;
    let limits = log.max_message_bytes(&[name.to_owned()]).await;
    let max_message_bytes = limits.ok().and_then(|limits| limits.first().copied());
    let mut out = std::io::stdout().lock();
    if json {
        let mut value = to_json(&topic);
        let offsets = marks.iter().map(|marks| {
            serde_json::json!({"partition": marks.partition, "low": marks.low, "high": marks.high})
        });
        value["offsets"] = offsets.collect();
        value["maxMessageBytes"] = max_message_bytes.into();
        writeln!(out, "{value:#}")?;
        return Ok(());
    }
    let records = max_message_bytes.map_or_else(String::new, |bytes| {
        format!(", records of up to {bytes} bytes")
    });
    writeln!(
        out,
        "{name}: partitions {}, replication {}{records}",
        topic.partitions, topic.replication
    )?;
    for marks in marks {
        let records = marks.high - marks.low;
        writeln!(
            out,
            "  partition {}: offsets {} to {} ({records} records)",
            marks.partition, marks.low, marks.high
        )?;
    }
    Ok(())
}
