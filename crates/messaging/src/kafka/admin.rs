//! Topics, watermarks and committed offsets of a Kafka cluster.
//! All requests are bounded by the request timeout and run off the async threads. `KafkaLog` calls it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use crate::log::{Error, TopicInfo, TopicSpec, Watermarks};

use super::reporter::{Cause, Reporter};
use super::settings::Settings;
use super::{blocking, certificate, errors};

type Client = BaseConsumer<Reporter>;

/// Groups whose clients are kept for the next question about their offsets.
const GROUPS_KEPT: usize = 32;
/// Events taken from an unpolled client at each use, so that they do not pile up.
const EVENTS_TAKEN: usize = 100;
/// Between two looks whether a new topic is open.
const CREATED_LOOK: Duration = Duration::from_millis(20);
/// How long a broker may take to answer before it is looked at why it does not; then twice as long, and so on.
const FIRST_LOOK: Duration = Duration::from_millis(500);

pub struct Admin {
    settings: Arc<Settings>,
    request: Duration,
    metadata: Arc<Client>,
    admin: AdminClient<Reporter>,
    groups: Mutex<HashMap<String, Arc<Client>>>,
}

impl Admin {
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let reporter = Reporter::new("metadata");
        let metadata = Client::from_config_and_context(&settings.metadata(), reporter)
            .map_err(|error| errors::of(&error))?;
        let reporter = Reporter::new("admin");
        let admin = AdminClient::from_config_and_context(&settings.plain(), reporter)
            .map_err(|error| errors::of(&error))?;
        Ok(Self {
            settings: Arc::new(settings.clone()),
            request: Duration::from_millis(settings.request_timeout_ms),
            metadata: Arc::new(metadata),
            admin,
            groups: Mutex::default(),
        })
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Client, Duration) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (client, request) = (Arc::clone(&self.metadata), self.request);
        let settings = Arc::clone(&self.settings);
        blocking(move || {
            take_events(&client);
            let answer = question(&client, request);
            if answer.is_ok() {
                // What was said on the way to the answer is past.
                take_events(&client);
                client.context().answered();
            }
            answer.map_err(|error| explained(error, &client, &settings))
        })
        .await
    }

    /// An error of the admin client, whose own events nobody reads.
    async fn explain(&self, error: &KafkaError) -> Error {
        let error = errors::of(error);
        self.ask::<()>(|_, _| Err(error)).await.unwrap_err()
    }

    /// Without the broker's own (`__consumer_offsets` and its like).
    pub async fn topics(&self) -> Result<Vec<TopicInfo>, Error> {
        self.ask(|client, request| {
            let metadata = client.fetch_metadata(None, request);
            let metadata = metadata.map_err(|error| errors::of(&error))?;
            let mut topics: Vec<_> = metadata
                .topics()
                .iter()
                .filter(|topic| !topic.name().starts_with("__"))
                .map(info)
                .collect();
            topics.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(topics)
        })
        .await
    }

    pub async fn topic(&self, name: &str) -> Result<TopicInfo, Error> {
        let name = name.to_owned();
        self.ask(move |client, request| topic(client, &name, request))
            .await
    }

    pub async fn ping(&self) -> Result<(), Error> {
        self.ask(|client, request| {
            let until = Instant::now() + request;
            let mut patience = FIRST_LOOK;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                let metadata = client.fetch_metadata(None, left.min(patience));
                take_events(client);
                // Who knows already why there is no answer need not wait longer for one.
                if metadata.is_ok() || left <= patience || client.context().cause().is_some() {
                    return metadata.map(|_| ()).map_err(|error| errors::of(&error));
                }
                patience *= 2;
            }
        })
        .await
    }

    /// In the order asked.
    pub async fn max_message_bytes(&self, topics: &[String]) -> Result<Vec<i64>, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<_> = topics
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let told = match self.admin.describe_configs(&asked, &self.options()).await {
            Ok(told) => told,
            Err(error) => return Err(self.explain(&error).await),
        };
        let mut limits = Vec::with_capacity(topics.len());
        for name in topics {
            let topic = OwnedResourceSpecifier::Topic(name.clone());
            let mut told = told.iter().flatten();
            let found = told.find(|resource| resource.specifier == topic);
            match found.and_then(max_message_bytes) {
                Some(bytes) => limits.push(bytes),
                None => return Err(self.untold(name).await),
            }
        }
        Ok(limits)
    }

    /// The client says nothing of what stood against one topic's configuration.
    async fn untold(&self, name: &str) -> Error {
        match self.topic(name).await {
            Ok(_) => Error::Refused(format!(
                "the broker does not tell the configuration of {name}: DescribeConfigs may not be allowed"
            )),
            Err(error) => error,
        }
    }

    pub async fn create(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let limits: Vec<_> = topics
            .iter()
            .map(|topic| {
                (
                    topic.retention_ms.map(|ms| ms.to_string()),
                    topic.max_message_bytes.map(|bytes| bytes.to_string()),
                )
            })
            .collect();
        let mut wanted = Vec::new();
        for (topic, (retention, bytes)) in topics.iter().zip(&limits) {
            let replication = TopicReplication::Fixed(topic.replication);
            let mut new = NewTopic::new(&topic.name, topic.partitions, replication);
            if let Some(retention) = retention {
                new = new.set("retention.ms", retention);
            }
            if let Some(bytes) = bytes {
                new = new.set("max.message.bytes", bytes);
            }
            wanted.push(new);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let results = match self.admin.create_topics(&wanted, &self.options()).await {
            Ok(results) => results,
            Err(error) => return Err(self.explain(&error).await),
        };
        for result in results {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(errors::of_delivery(code, &name)),
            }
        }
        self.wait_until_open(topics).await
    }

    /// The controller has them; the brokers that clients ask hear of them a moment later, and a leader opens its partitions later
    /// still. What is sent to one before is refused, and records of one batch could pass each other then.
    async fn wait_until_open(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + self.request;
        for topic in topics {
            while let Err(error) = self.watermarks(&topic.name).await {
                if tokio::time::Instant::now() < until {
                    tokio::time::sleep(CREATED_LOOK).await;
                    continue;
                }
                match self.topic(&topic.name).await {
                    // A partition without a leader keeps neither the topic's others nor other topics waiting.
                    Ok(_) => {
                        tracing::warn!(topic = topic.name, %error, "a topic is not open in all its partitions; going on");
                        break;
                    }
                    Err(Error::UnknownTopic(name)) => {
                        let text = format!("{name} was created and is not known yet");
                        return Err(Error::Unavailable(text));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let results = match self.admin.delete_topics(&[name], &self.options()).await {
            Ok(results) => results,
            Err(error) => return Err(self.explain(&error).await),
        };
        for result in results {
            if let Err((name, code)) = result {
                return Err(errors::of_delivery(code, &name));
            }
        }
        Ok(())
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.request))
            .operation_timeout(Some(self.request))
    }

    pub async fn watermarks(&self, name: &str) -> Result<Vec<Watermarks>, Error> {
        let name = name.to_owned();
        self.ask(move |client, request| {
            let partitions = topic(client, &name, request)?.partitions;
            let low = ends(client, &name, partitions, Offset::Beginning, request)?;
            let high = ends(client, &name, partitions, Offset::End, request)?;
            let marks = (0..).zip(low).zip(high);
            Ok(marks
                .map(|((partition, low), high)| Watermarks {
                    partition,
                    low,
                    high,
                })
                .collect())
        })
        .await
    }

    pub async fn committed(
        &self,
        group: &str,
        name: &str,
    ) -> Result<Vec<(i32, Option<i64>)>, Error> {
        let partitions = self.topic(name).await?.partitions;
        let client = self.group(group)?;
        let (name, request) = (name.to_owned(), self.request);
        blocking(move || {
            take_events(&client);
            let mut list = TopicPartitionList::new();
            for partition in 0..partitions {
                list.add_partition(&name, partition);
            }
            let offsets = client.committed_offsets(list, request);
            let offsets = offsets.map_err(|error| errors::of(&error))?;
            client.context().answered();
            let offset = |offset| match offset {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let elements = offsets.elements();
            Ok(elements
                .iter()
                .map(|element| (element.partition(), offset(element.offset())))
                .collect())
        })
        .await
    }

    /// A client that speaks for the group without joining it.
    fn group(&self, group: &str) -> Result<Arc<Client>, Error> {
        let mut groups = self.groups.lock();
        if let Some(client) = groups.get(group) {
            return Ok(Arc::clone(client));
        }
        let reporter = Reporter::new(format!("offsets of {group}"));
        let config = self.settings.onlooker(group);
        let client = Client::from_config_and_context(&config, reporter);
        let client = Arc::new(client.map_err(|error| errors::of(&error))?);
        if groups.len() < GROUPS_KEPT {
            groups.insert(group.to_owned(), Arc::clone(&client));
        }
        Ok(client)
    }
}

/// Errors and log lines reach the client's context only when it is polled.
fn take_events(client: &Client) {
    for _ in 0..EVENTS_TAKEN {
        drop(client.poll(Duration::ZERO));
    }
}

/// The error, with what keeps the client from the broker where that is known.
fn explained(error: Error, client: &Client, settings: &Settings) -> Error {
    let Error::Unavailable(what) = error else {
        return error;
    };
    take_events(client);
    Error::Unavailable(match client.context().cause() {
        None => what,
        Some(Cause::Away(why)) => format!("{what}: {why}"),
        Some(Cause::NoWayIn(why)) => why,
        Some(Cause::Certificate(why)) => match certificate::objection(settings) {
            // librdkafka's own guess may speak against it.
            Some(objection) => format!("the broker's certificate is not accepted: {objection}"),
            None => why,
        },
    })
}

/// One end of each partition of a topic, by one request a leader; `fetch_watermarks` makes two a partition.
fn ends(
    client: &Client,
    name: &str,
    partitions: i32,
    end: Offset,
    request: Duration,
) -> Result<Vec<i64>, Error> {
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions {
        let added = asked.add_partition_offset(name, partition, end);
        added.map_err(|error| errors::of(&error))?;
    }
    // The protocol's timestamps -1 and -2 are these ends, as the offsets of librdkafka are.
    let told = client.offsets_for_times(asked, request);
    let told = told.map_err(|error| errors::of(&error))?;
    let offset = |element: &TopicPartitionListElem<'_>| {
        element.error().map_err(|error| errors::of(&error))?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            // No leader answered for it.
            _ => Err(Error::Unavailable(format!(
                "{name}-{} does not tell where it begins and ends",
                element.partition()
            ))),
        }
    };
    told.elements().iter().map(offset).collect()
}

fn max_message_bytes(topic: &ConfigResource) -> Option<i64> {
    topic.get("max.message.bytes")?.value.as_ref()?.parse().ok()
}

fn info(topic: &MetadataTopic) -> TopicInfo {
    let replicas = topic.partitions().iter().map(|it| it.replicas().len());
    TopicInfo {
        name: topic.name().to_owned(),
        partitions: topic.partitions().len() as i32,
        replication: replicas.min().unwrap_or(0) as i32,
    }
}

pub fn topic(client: &Client, name: &str, request: Duration) -> Result<TopicInfo, Error> {
    let metadata = client.fetch_metadata(Some(name), request);
    let metadata = metadata.map_err(|error| errors::of(&error))?;
    let Some(topic) = metadata.topics().iter().find(|it| it.name() == name) else {
        return Err(Error::UnknownTopic(name.to_owned()));
    };
    match topic.error() {
        Some(error) => Err(errors::of_delivery(Code::from(error), name)),
        None => Ok(info(topic)),
    }
}
