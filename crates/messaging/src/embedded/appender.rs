//! The one task that appends: whatever publishers and committers have queued meanwhile goes into one transaction and one fsync. After
//! one there is none for a while, so that under load those of many publishers are few.
//! It decides nothing about groups; a refused record does not touch its neighbours.
//! Ends when the log and its members are gone.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::log::{Acknowledged, Error};
use crate::partitioner::partition_of;
use crate::record::{Outgoing, TopicPartition};

use super::headers;
use super::heads::Heads;
use super::schema::{self, places, record_id, statement, unavailable};
use super::settings::Settings;
use super::writer::{Flush, Writer};

pub type Results = Vec<Result<Acknowledged, Error>>;

pub enum Job {
    Publish {
        batch: Vec<Outgoing>,
        done: oneshot::Sender<Results>,
    },
    Commit {
        group: String,
        offsets: Vec<(TopicPartition, i64)>,
        done: oneshot::Sender<Result<(), Error>>,
    },
}

impl Job {
    fn records(&self) -> usize {
        match self {
            Self::Publish { batch, .. } => batch.len(),
            Self::Commit { .. } => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Publish { batch, .. } => batch.iter().map(size).sum(),
            Self::Commit { .. } => 0,
        }
    }

    fn fail(self, error: &Error) {
        match self {
            Self::Publish { batch, done } => {
                let _ = done.send(batch.iter().map(|_| Err(error.clone())).collect());
            }
            Self::Commit { done, .. } => {
                let _ = done.send(Err(error.clone()));
            }
        }
    }
}

/// Bytes of key, value and headers.
fn size(record: &Outgoing) -> usize {
    record.key.as_ref().map_or(0, |b| b.len())
        + record.value.as_ref().map_or(0, |b| b.len())
        + headers::size(&record.headers)
}

pub async fn run(
    writer: Writer,
    settings: Settings,
    heads: std::sync::Arc<Heads>,
    mut jobs: mpsc::Receiver<Job>,
) {
    let interval = Duration::from_millis(settings.append_interval_ms);
    let mut next = Instant::now();
    while let Some(first) = jobs.recv().await {
        let mut together = Together::of(first);
        while !together.is_full(&settings) {
            // What is there comes along without a wait.
            match jobs.try_recv() {
                Ok(job) => together.add(job),
                Err(_) => match timeout_at(next, jobs.recv()).await {
                    Ok(Some(job)) => together.add(job),
                    Ok(None) | Err(_) => break,
                },
            }
        }
        next = Instant::now() + interval;
        append(&writer, &settings, &heads, together.jobs).await;
    }
}

/// What goes into one transaction.
struct Together {
    jobs: Vec<Job>,
    records: usize,
    bytes: usize,
}

impl Together {
    fn of(first: Job) -> Self {
        let mut together = Self {
            jobs: Vec::new(),
            records: 0,
            bytes: 0,
        };
        together.add(first);
        together
    }

    fn add(&mut self, job: Job) {
        self.records += job.records();
        self.bytes += job.bytes();
        self.jobs.push(job);
    }

    fn is_full(&self, settings: &Settings) -> bool {
        self.records >= settings.publish_batch_max || self.bytes >= settings.publish_batch_bytes
    }
}

async fn append(writer: &Writer, settings: &Settings, heads: &Heads, jobs: Vec<Job>) {
    match commit_together(writer, settings, &jobs).await {
        Ok((outcomes, appended)) => {
            heads.raise(appended);
            let mut outcomes = outcomes.into_iter();
            for job in jobs {
                match job {
                    // Whoever asked may have gone: the records are kept all the same.
                    Job::Publish { batch, done } => {
                        let _ = done.send(outcomes.by_ref().take(batch.len()).collect());
                    }
                    Job::Commit { done, .. } => {
                        let _ = done.send(Ok(()));
                    }
                }
            }
        }
        Err(error) => {
            for job in jobs {
                job.fail(&error);
            }
        }
    }
}

async fn commit_together(
    writer: &Writer,
    settings: &Settings,
    jobs: &[Job],
) -> Result<(Results, Vec<(TopicPartition, i64)>), Error> {
    let transaction = schema::begin(writer).await?;
    let topics = topics_of(jobs);
    let mut plan = Plan::default();
    if !topics.is_empty() {
        plan.load(&transaction, &topics).await?;
    }
    for job in jobs {
        if let Job::Publish { batch, .. } = job {
            for record in batch {
                plan.place(record, settings.max_message_bytes);
            }
        }
    }
    insert(&transaction, &plan.rows).await?;
    let appended = plan.appended();
    let mut moves = Moves::default();
    for (id, next) in plan.nexts() {
        moves.partition(id, next);
    }
    for job in jobs {
        if let Job::Commit { group, offsets, .. } = job {
            for (at, next_offset) in offsets {
                moves.group(group, at, *next_offset);
            }
        }
    }
    moves.send(&transaction).await?;
    let results = std::mem::take(&mut plan.results);
    drop(plan);
    schema::commit(transaction, Flush::Shared).await?;
    Ok((results, appended))
}

fn topics_of(jobs: &[Job]) -> Vec<String> {
    let mut topics = BTreeSet::new();
    for job in jobs {
        if let Job::Publish { batch, .. } = job {
            topics.extend(batch.iter().map(|record| record.topic.as_str()));
        }
    }
    topics.into_iter().map(str::to_owned).collect()
}

#[derive(Default)]
struct Topic {
    max_message_bytes: Option<i64>,
    /// By partition number: its id, its next offset as stored and as planned.
    partitions: Vec<(i64, i64, i64)>,
}

/// Which record goes where; rows in order of arrival.
#[derive(Default)]
struct Plan<'a> {
    topics: HashMap<String, Topic>,
    rows: Vec<(i64, &'a Outgoing)>,
    results: Results,
}

impl<'a> Plan<'a> {
    async fn load(
        &mut self,
        transaction: &DatabaseTransaction,
        topics: &[String],
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT t.name, t.max_message_bytes, p.id, p.next FROM log_topics t JOIN log_partitions p ON p.topic = t.name WHERE t.name IN ({}) ORDER BY p.topic, p.partition",
            places(topics.len())
        );
        let values = topics.iter().map(|topic| Value::from(topic.clone()));
        let rows = transaction
            .query_all_raw(statement(sql, values))
            .await
            .map_err(unavailable)?;
        for row in &rows {
            self.know(row).map_err(unavailable)?;
        }
        Ok(())
    }

    fn know(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let topic = self.topics.entry(row.try_get_by_index(0)?).or_default();
        topic.max_message_bytes = row.try_get_by_index(1)?;
        let next = row.try_get_by_index(3)?;
        topic
            .partitions
            .push((row.try_get_by_index(2)?, next, next));
        Ok(())
    }

    fn place(&mut self, record: &'a Outgoing, default_max_bytes: i64) {
        let result = match self.topics.get_mut(&record.topic) {
            None => Err(Error::UnknownTopic(record.topic.clone())),
            Some(topic) => {
                let max = topic.max_message_bytes.unwrap_or(default_max_bytes);
                take_offset(topic, record, max)
            }
        };
        self.results.push(result.map(|(id, acknowledged)| {
            self.rows.push((id, record));
            acknowledged
        }));
    }

    fn nexts(&self) -> Vec<(i64, i64)> {
        let all = self.topics.values().flat_map(|topic| &topic.partitions);
        all.filter(|(_, stored, next)| next > stored)
            .map(|(id, _, next)| (*id, *next))
            .collect()
    }

    fn appended(&self) -> Vec<(TopicPartition, i64)> {
        let mut appended = Vec::new();
        for (name, topic) in &self.topics {
            for (partition, (_, stored, next)) in (0_i32..).zip(&topic.partitions) {
                if next > stored {
                    appended.push((TopicPartition::new(name.clone(), partition), *next));
                }
            }
        }
        appended
    }
}

fn take_offset(
    topic: &mut Topic,
    record: &Outgoing,
    bytes_max: i64,
) -> Result<(i64, Acknowledged), Error> {
    let bytes = size(record) as i64;
    if bytes > bytes_max {
        return Err(Error::Refused(format!(
            "record of {bytes} bytes for {}, which takes {bytes_max}",
            record.topic
        )));
    }
    let count = topic.partitions.len() as i32;
    let partition = match (record.partition, &record.key) {
        (Some(partition), _) => partition,
        (None, Some(key)) => partition_of(key, count),
        (None, None) => fastrand::i32(0..count.max(1)),
    };
    let slot = usize::try_from(partition)
        .ok()
        .and_then(|index| topic.partitions.get_mut(index));
    let Some((id, _, next)) = slot else {
        return Err(Error::Refused(format!(
            "{} has {count} partitions, no partition {partition}",
            record.topic
        )));
    };
    let offset = *next;
    *next += 1;
    Ok((record_id(*id, offset), Acknowledged { partition, offset }))
}

/// Rows of one INSERT at most. Each number of them is a statement that stays prepared: an errand of the writing thread costs more
/// than its memory.
const INSERT_ROWS_MAX: usize = 128;

async fn insert(transaction: &DatabaseTransaction, rows: &[(i64, &Outgoing)]) -> Result<(), Error> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for rows in rows.chunks(INSERT_ROWS_MAX) {
        let mut values = Vec::with_capacity(rows.len() * 5);
        for (id, record) in rows {
            values.push(Value::from(*id));
            values.push(Value::from(record.timestamp_ms.unwrap_or(now_ms)));
            values.push(Value::Bytes(record.key.as_ref().map(|b| b.to_vec())));
            values.push(Value::Bytes(record.value.as_ref().map(|b| b.to_vec())));
            values.push(Value::Bytes(headers::encode(&record.headers)));
        }
        execute(transaction, &insert_sql(rows.len()), values).await?;
    }
    Ok(())
}

fn insert_sql(rows: usize) -> String {
    format!(
        "INSERT INTO log_records (id, timestamp_ms, key, value, headers) VALUES {}",
        vec!["(?, ?, ?, ?, ?)"; rows].join(", ")
    )
}

/// Next offsets of partitions and of groups: short statements, sent together. There are few different numbers of them, so
/// they stay prepared.
#[derive(Default)]
struct Moves {
    sql: String,
    values: Vec<Value>,
}

impl Moves {
    fn partition(&mut self, id: i64, next: i64) {
        self.add(
            "UPDATE log_partitions SET next = ? WHERE id = ?",
            [next.into(), id.into()],
        );
    }

    fn group(&mut self, group: &str, at: &TopicPartition, next_offset: i64) {
        self.add(
            "INSERT INTO log_groups (name, topic, partition, next_offset) VALUES (?, ?, ?, ?)
             ON CONFLICT (name, topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
            [
                group.into(),
                at.topic.clone().into(),
                at.partition.into(),
                next_offset.into(),
            ],
        );
    }

    fn add<const N: usize>(&mut self, sql: &str, values: [Value; N]) {
        if !self.sql.is_empty() {
            self.sql.push(';');
        }
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    async fn send(self, transaction: &DatabaseTransaction) -> Result<(), Error> {
        match self.sql.is_empty() {
            true => Ok(()),
            false => execute(transaction, &self.sql, self.values).await,
        }
    }
}

async fn execute(
    transaction: &DatabaseTransaction,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<(), Error> {
    let done = transaction.execute_raw(statement(sql, values)).await;
    done.map(|_| ()).map_err(unavailable)
}
