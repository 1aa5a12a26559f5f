//! An event log in memory with one member a group, whose rebalances and refusals a test scripts.

mod member;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use messaging::log::*;
use messaging::record::{Outgoing, Record, TimestampType, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use member::FakeMember;

/// Says what is wrong with a record, if anything.
pub type Verdict = Box<dyn FnMut(&Outgoing) -> Option<Error> + Send>;

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Vec<Vec<Record>>>,
    committed: HashMap<(String, TopicPartition), i64>,
    /// Every commit there was, in order.
    commits: Vec<(TopicPartition, i64)>,
    refuse: Option<Verdict>,
    commands: VecDeque<Command>,
    join_errors: VecDeque<Error>,
    commit_errors: VecDeque<Error>,
    /// Seeks that are carried out and answered with these.
    seek_errors: VecDeque<Error>,
    left: usize,
    publishes: usize,
}

enum Command {
    Revoke(Vec<TopicPartition>, oneshot::Sender<()>),
    Assign(Vec<TopicPartition>),
    Stop(TopicPartition, Error),
    End(Error),
}

#[derive(Default)]
pub struct FakeLog {
    state: Mutex<State>,
    changed: Arc<Notify>,
}

impl FakeLog {
    pub fn new(topics: &[(&str, usize)]) -> Arc<Self> {
        let log = Self::default();
        for (name, partitions) in topics {
            let empty = vec![Vec::new(); *partitions];
            log.state.lock().topics.insert((*name).to_owned(), empty);
        }
        Arc::new(log)
    }

    pub fn create(&self, topic: &str) {
        let empty = vec![Vec::new()];
        self.state.lock().topics.insert(topic.to_owned(), empty);
    }

    /// Writes records whose values are `0`, `1`, ... to one partition.
    pub fn fill(&self, topic: &str, partition: i32, count: usize) {
        for n in 0..count {
            self.append(&Outgoing {
                topic: topic.into(),
                partition: Some(partition),
                key: Some("k".into()),
                value: Some(n.to_string().into()),
                ..Outgoing::default()
            })
            .unwrap();
        }
    }

    pub fn append(&self, record: &Outgoing) -> Result<Acknowledged, Error> {
        let mut state = self.state.lock();
        state.publishes += 1;
        if let Some(refuse) = &mut state.refuse
            && let Some(error) = refuse(record)
        {
            return Err(error);
        }
        let Some(partitions) = state.topics.get_mut(&record.topic) else {
            return Err(Error::UnknownTopic(record.topic.clone()));
        };
        let partition = record.partition.unwrap_or(0);
        let Some(records) = partitions.get_mut(partition as usize) else {
            return Err(Error::Refused(format!("no partition {partition}")));
        };
        let offset = records.len() as i64;
        records.push(Record {
            topic: record.topic.clone(),
            partition,
            offset,
            timestamp_ms: record
                .timestamp_ms
                .unwrap_or_else(|| jiff::Timestamp::now().as_millisecond()),
            timestamp_type: TimestampType::CreateTime,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        });
        drop(state);
        self.changed.notify_one();
        Ok(Acknowledged { partition, offset })
    }

    pub fn refuse(&self, verdict: impl FnMut(&Outgoing) -> Option<Error> + Send + 'static) {
        self.state.lock().refuse = Some(Box::new(verdict));
    }

    pub fn take_everything(&self) {
        self.state.lock().refuse = None;
    }

    pub fn records(&self, topic: &str) -> Vec<Record> {
        let state = self.state.lock();
        state
            .topics
            .get(topic)
            .into_iter()
            .flatten()
            .flatten()
            .cloned()
            .collect()
    }

    pub fn committed_at(&self, group: &str, topic: &str, partition: i32) -> i64 {
        let key = (group.to_owned(), TopicPartition::new(topic, partition));
        self.state.lock().committed.get(&key).copied().unwrap_or(0)
    }

    pub fn commits(&self) -> Vec<(TopicPartition, i64)> {
        self.state.lock().commits.clone()
    }

    pub fn left(&self) -> usize {
        self.state.lock().left
    }

    pub fn publishes(&self) -> usize {
        self.state.lock().publishes
    }

    pub fn fail_joins(&self, errors: impl IntoIterator<Item = Error>) {
        self.state.lock().join_errors.extend(errors);
    }

    pub fn fail_commits(&self, errors: impl IntoIterator<Item = Error>) {
        self.state.lock().commit_errors.extend(errors);
    }

    pub fn lose_seeks(&self, errors: impl IntoIterator<Item = Error>) {
        self.state.lock().seek_errors.extend(errors);
    }

    /// Takes partitions away; resolves once the member has let go.
    pub fn revoke(&self, partitions: &[TopicPartition]) -> oneshot::Receiver<()> {
        let (released, receiver) = oneshot::channel();
        self.command(Command::Revoke(partitions.to_vec(), released));
        receiver
    }

    pub fn assign(&self, partitions: &[TopicPartition]) {
        self.command(Command::Assign(partitions.to_vec()));
    }

    pub fn stop(&self, partition: TopicPartition, error: Error) {
        self.command(Command::Stop(partition, error));
    }

    pub fn end_membership(&self, error: Error) {
        self.command(Command::End(error));
    }

    fn command(&self, command: Command) {
        self.state.lock().commands.push_back(command);
        self.changed.notify_one();
    }
}

/// The log as its users hold it.
pub struct Handle(pub Arc<FakeLog>);

#[async_trait]
impl EventLog for Handle {
    async fn publish(&self, batch: Vec<Outgoing>) -> Vec<Result<Acknowledged, Error>> {
        // A real log takes its time: whoever waits for it lets others run.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        batch.iter().map(|record| self.0.append(record)).collect()
    }

    async fn join(&self, subscription: Subscription) -> Result<Box<dyn Membership>, Error> {
        if let Some(error) = self.0.state.lock().join_errors.pop_front() {
            return Err(error);
        }
        Ok(Box::new(FakeMember {
            log: Arc::clone(&self.0),
            subscription,
            assigned: false,
            positions: Default::default(),
            busy: Default::default(),
            revoking: None,
        }))
    }

    async fn read(
        &self,
        at: &TopicPartition,
        from: i64,
        max: usize,
        _: u64,
    ) -> Result<Vec<Record>, Error> {
        let mut records = self.0.records(&at.topic);
        records.retain(|record| record.partition == at.partition && record.offset >= from);
        records.truncate(max);
        Ok(records)
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        Ok(Vec::new())
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, Error> {
        Err(Error::UnknownTopic(name.to_owned()))
    }

    async fn max_message_bytes(&self, topics: &[String]) -> Result<Vec<i64>, Error> {
        Ok(vec![i64::MAX; topics.len()])
    }

    async fn create_topics(&self, _: &[TopicSpec]) -> Result<(), Error> {
        Ok(())
    }

    async fn delete_topic(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error> {
        let state = self.0.state.lock();
        let partitions = state
            .topics
            .get(topic)
            .ok_or_else(|| Error::UnknownTopic(topic.to_owned()))?;
        Ok(partitions
            .iter()
            .enumerate()
            .map(|(n, records)| Watermarks {
                partition: n as i32,
                low: 0,
                high: records.len() as i64,
            })
            .collect())
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<(i32, Option<i64>)>, Error> {
        let state = self.0.state.lock();
        let count = state.topics.get(topic).map_or(0, Vec::len) as i32;
        let at = |n| {
            state
                .committed
                .get(&(group.to_owned(), TopicPartition::new(topic, n)))
                .copied()
        };
        Ok((0..count).map(|n| (n, at(n))).collect())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}
