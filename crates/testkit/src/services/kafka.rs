//! One Kafka broker in KRaft mode, broker and controller in one process.
//! Topics are not made by themselves: who needs one creates it, under a name of its own.
//! Called by tests and `Services`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::{Runner, jars, kafka_wire};
use crate::folder::Folder;
use crate::process::Process;
use crate::{free_port, programs};

const NAME: &str = "Kafka";
/// 16 bytes in URL-safe base64; any value will do for a cluster of one.
const CLUSTER_ID: &str = "bWFkYW5nLXRlc3RraXQtMQ";

pub struct Kafka {
    address: String,
    place: Option<Place>,
    runner: Runner,
}

struct Place {
    folder: Folder,
    port: u16,
    beyond: Beyond,
}

/// What a broker has beyond its one plain listener.
#[derive(Default)]
pub struct Beyond {
    /// Name, security protocol and port of each.
    pub listeners: Vec<(&'static str, &'static str, u16)>,
    /// Further lines of `server.properties`.
    pub properties: Vec<String>,
    /// Further arguments for formatting its storage.
    pub format: Vec<String>,
    /// Further arguments for Java, after those that all have.
    pub java: Vec<String>,
}

impl Kafka {
    /// A new broker without topics.
    pub async fn start() -> Result<Kafka> {
        Kafka::start_with(Beyond::default()).await
    }

    pub(super) async fn start_with(beyond: Beyond) -> Result<Kafka> {
        Kafka::start_at(free_port(), beyond).await
    }

    /// Returns once the controllers, wherever they are, have this broker among theirs.
    pub(super) async fn start_at(port: u16, beyond: Beyond) -> Result<Kafka> {
        let place = Place {
            folder: Folder::new("kafka")?,
            port,
            beyond,
        };
        place.format().await?;
        let runner = place.run().await?;
        Ok(Kafka {
            address: place.address(),
            place: Some(place),
            runner,
        })
    }

    /// The brokers that `MADANG_TEST_KAFKA` names (`host:port,...`), when it is set.
    pub fn from_env() -> Option<Kafka> {
        super::given(super::KAFKA).map(|address| Kafka {
            address,
            place: None,
            runner: Runner::outside(NAME),
        })
    }

    /// What goes into `bootstrap.servers`: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn pid(&self) -> Option<u32> {
        self.runner.pid()
    }

    pub async fn stop(&mut self) -> Result<()> {
        self.runner.stop().await.map(drop)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.runner.kill()
    }

    /// Stops it if it runs and starts it again: same port, same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.runner.stop().await?;
        let place = self.place.as_ref().context("not ours to start")?;
        self.runner = place.run().await?;
        Ok(())
    }
}

impl Place {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn format(&self) -> Result<()> {
        let properties = self.folder.join("server.properties");
        let data = self.folder.join("data");
        std::fs::write(
            &properties,
            server_properties(self.port, free_port(), &data, &self.beyond),
        )
        .context("server.properties")?;
        let mut command = tokio::process::Command::from(java(&[]).await?);
        command
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(&properties)
            .args(&self.beyond.format)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.context("formatting Kafka's data")?;
        if !output.status.success() {
            bail!(
                "formatting Kafka's data: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    async fn run(&self) -> Result<Runner> {
        let mut command = java(&self.beyond.java).await?;
        command
            .arg("kafka.Kafka")
            .arg(self.folder.join("server.properties"));
        let process = Process::spawn(command, &self.folder.join("log"))?;
        let mut runner = Runner::running(NAME, process);
        let address = self.address();
        runner
            .ready(async || {
                let seen = kafka_wire::metadata(&address, None).await?;
                let up = seen.brokers.iter().any(|it| it.port == self.port);
                ensure!(up, "{:?}", seen.brokers);
                Ok(())
            })
            .await?;
        Ok(runner)
    }
}

async fn java(further: &[String]) -> Result<Command> {
    let java = programs::find("java")?;
    let jars = tokio::task::spawn_blocking(jars::find_or_fetch)
        .await
        .context("fetching Kafka's jars")??;
    let mut command = Command::new(java);
    command
        // Brokers of tests and benchmarks live for minutes: the optimizing compiler would take more of the processor than it gives back.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .args(["-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"])
        .args(further)
        .arg("-cp")
        .arg(jars.join("*"));
    Ok(command)
}

/// A killed broker may come back only after its old session has run out, so sessions are shorter than the usual 9 s.
fn server_properties(port: u16, controller_port: u16, data: &Path, beyond: &Beyond) -> String {
    let data = data.display();
    let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let mut advertised = vec![at("PLAINTEXT", port)];
    let mut protocols = vec!["CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()];
    for (name, protocol, port) in &beyond.listeners {
        advertised.push(at(name, *port));
        protocols.push(format!("{name}:{protocol}"));
    }
    let (advertised, protocols) = (advertised.join(","), protocols.join(","));
    let controller = at("CONTROLLER", controller_port);
    let further = beyond.properties.join("\n");
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners={advertised},{controller}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
{further}
"
    )
}
