//! How far a consumer is behind: its committed offsets against the ends of the topics it reads, retry topics included.
//! It asks the log and joins no group, so that any process can ask.
//! The binary's gauge and the audit's barrier call it.

use super::route::consumed_topics;
use super::settings::Settings;
use crate::log::{Error, EventLog, Reset, Watermarks};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    pub topic: String,
    pub partition: i32,
    /// Offset of the next record to read; `None` before the first commit.
    pub committed: Option<i64>,
    /// Offset that the next record written will get.
    pub end: i64,
    /// Records between the two that are still kept.
    pub records: u64,
}

/// One entry a partition, in the order of `consumed_topics`.
pub async fn lag(log: &dyn EventLog, settings: &Settings) -> Result<Vec<Lag>, Error> {
    let mut lags = Vec::new();
    for topic in consumed_topics(settings) {
        let ends = ends(log, settings, &topic).await?;
        lags.extend(lag_to(log, settings, &topic, &ends).await?);
    }
    Ok(lags)
}

/// Where a topic of the consumer begins and ends now; none where nobody has served with these settings yet.
pub async fn ends(
    log: &dyn EventLog,
    settings: &Settings,
    topic: &str,
) -> Result<Vec<Watermarks>, Error> {
    match log.watermarks(topic).await {
        // One that was added by newer settings holds nothing before somebody serves with them.
        Err(Error::UnknownTopic(_)) if !is_source(settings, topic) => Ok(Vec::new()),
        marks => marks,
    }
}

/// How far the group is behind these ends, one entry a partition.
pub async fn lag_to(
    log: &dyn EventLog,
    settings: &Settings,
    topic: &str,
    ends: &[Watermarks],
) -> Result<Vec<Lag>, Error> {
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let committed = log.committed(&settings.group, topic).await?;
    let behind = |marks: &Watermarks| {
        let at = committed
            .iter()
            .find(|(partition, _)| *partition == marks.partition)
            .and_then(|(_, offset)| *offset);
        let start = at.unwrap_or(match settings.reset {
            Reset::Latest if is_source(settings, topic) => marks.high,
            // The group's own topics are read from their first record always.
            Reset::Earliest | Reset::Latest => marks.low,
        });
        Lag {
            topic: topic.to_owned(),
            partition: marks.partition,
            committed: at,
            end: marks.high,
            records: u64::try_from(marks.high - start.max(marks.low)).unwrap_or(0),
        }
    };
    Ok(ends.iter().map(behind).collect())
}

fn is_source(settings: &Settings, topic: &str) -> bool {
    settings.topics.iter().any(|source| source == topic)
}
