//! Three Kafka brokers, each of them a controller too: every topic in three copies, two of which must have a record before it
//! is acknowledged. One of them may be killed and everything goes on.
//! Called by fault tests; they take some ten seconds to start and about a gigabyte.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Kafka;
use super::kafka::Beyond;
use super::kafka_wire::{self, Metadata};
use crate::eventually::within;
use crate::free_port;

const COPIES: usize = 3;
const IN_SYNC_MIN: usize = 2;
/// How long copies may take to catch up on a busy machine.
const CATCH_UP_S: u64 = 180;

pub struct KafkaCluster {
    /// Node `i` has the id `i + 1`.
    nodes: [Kafka; COPIES],
}

impl KafkaCluster {
    pub async fn start() -> Result<KafkaCluster> {
        let ports = [free_port(), free_port(), free_port()];
        let controllers = [free_port(), free_port(), free_port()];
        let voters = controllers.iter().enumerate();
        let voters: Vec<_> = voters
            .map(|(node, port)| format!("{}@127.0.0.1:{port}", node + 1))
            .collect();
        let voters = voters.join(",");
        let node = |node: usize| {
            Kafka::start_at(
                ports[node],
                member(node, ports[node], controllers[node], &voters),
            )
        };
        let (first, second, third) = tokio::try_join!(node(0), node(1), node(2))?;
        Ok(KafkaCluster {
            nodes: [first, second, third],
        })
    }

    /// What goes into `bootstrap.servers`: all three.
    pub fn address(&self) -> String {
        self.nodes.each_ref().map(Kafka::address).join(",")
    }

    /// Which node, from 0, leads the partition.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<usize> {
        let seen = self.metadata(topic).await?;
        let led = seen.partitions.iter().find(|it| it.number == partition);
        let leader = led.context("no such partition")?.leader;
        let node = usize::try_from(leader - 1).context("it has no leader")?;
        ensure!(node < COPIES, "leader {leader}");
        Ok(node)
    }

    /// Waits until all brokers are up and every partition of the topic has all its copies in sync.
    pub async fn in_sync(&self, topic: &str) -> Result<()> {
        within(Duration::from_secs(CATCH_UP_S), async || {
            let seen = self.metadata(topic).await?;
            ensure!(seen.brokers.len() == COPIES, "brokers {:?}", seen.brokers);
            ensure!(!seen.partitions.is_empty(), "no topic {topic}");
            let behind = seen.partitions.iter().find(|p| p.in_sync.len() != COPIES);
            ensure!(behind.is_none(), "{behind:?}");
            Ok(())
        })
        .await
    }

    /// SIGKILL to one node, from 0.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        self.nodes[node].kill()
    }

    /// Same port, same data.
    pub async fn restart(&mut self, node: usize) -> Result<()> {
        self.nodes[node].restart().await
    }

    /// As the first node knows it that answers.
    async fn metadata(&self, topic: &str) -> Result<Metadata> {
        let mut last = None;
        for node in &self.nodes {
            match kafka_wire::metadata(&node.address(), Some(topic)).await {
                Ok(seen) => return Ok(seen),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no nodes")?)
    }
}

/// The lines come after the single broker's and the last of a name wins.
fn member(node: usize, port: u16, controller: u16, voters: &str) -> Beyond {
    let properties = [
        format!("node.id={}", node + 1),
        format!("controller.quorum.voters={voters}"),
        format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
        format!("default.replication.factor={COPIES}"),
        format!("min.insync.replicas={IN_SYNC_MIN}"),
        format!("offsets.topic.replication.factor={COPIES}"),
        format!("transaction.state.log.replication.factor={COPIES}"),
        format!("transaction.state.log.min.isr={IN_SYNC_MIN}"),
        format!("share.coordinator.state.topic.replication.factor={COPIES}"),
        format!("share.coordinator.state.topic.min.isr={IN_SYNC_MIN}"),
        // A copy that says nothing for so long is out of sync: the usual 30 s would be most of a test.
        "replica.lag.time.max.ms=5000".to_owned(),
    ];
    Beyond {
        properties: properties.into(),
        // Three of them share the machine with the shop.
        java: vec!["-Xmx256m".to_owned()],
        ..Beyond::default()
    }
}
