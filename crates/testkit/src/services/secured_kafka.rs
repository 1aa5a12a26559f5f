//! A broker whose further listeners want TLS, a password, or both. Keys, certificates and users are made for it as it starts.
//! The plain listener stays, for the broker's own use and for tests that look from beside.
//! Called by tests of a client that is built with TLS and SASL.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Kafka;
use super::certificates::{Authority, Signed};
use super::kafka::Beyond;
use crate::folder::Folder;
use crate::free_port;

/// The one user, for PLAIN and SCRAM alike. A sample: it opens nothing but a broker that lives as long as a test.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "sample-password";

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required";

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// TLS; nobody is asked who they are.
    Ssl,
    /// TLS; the client must show a certificate.
    Mutual,
    /// TLS with a certificate for another host.
    Misnamed,
    /// PLAIN without TLS.
    SaslPlaintext,
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 over TLS.
    SaslSsl,
}

pub struct SecuredKafka {
    /// Ends with this.
    _kafka: Kafka,
    folder: Folder,
    ports: Vec<(Door, u16)>,
}

impl Door {
    const ALL: [Door; 5] = [
        Door::Ssl,
        Door::Mutual,
        Door::Misnamed,
        Door::SaslPlaintext,
        Door::SaslSsl,
    ];

    /// The listener's name and Kafka's name for how it speaks.
    fn listener(self) -> (&'static str, &'static str) {
        match self {
            Door::Ssl => ("TLS", "SSL"),
            Door::Mutual => ("MUTUAL", "SSL"),
            Door::Misnamed => ("MISNAMED", "SSL"),
            Door::SaslPlaintext => ("PASSWORD", "SASL_PLAINTEXT"),
            Door::SaslSsl => ("BOTH", "SASL_SSL"),
        }
    }
}

impl SecuredKafka {
    pub async fn start() -> Result<SecuredKafka> {
        let folder = Folder::new("kafka-keys")?;
        let ports: Vec<_> = Door::ALL.map(|door| (door, free_port())).into();
        let beyond = beyond(&folder, &ports)?;
        Ok(SecuredKafka {
            _kafka: Kafka::start_with(beyond).await?,
            folder,
            ports,
        })
    }

    /// What goes into `bootstrap.servers` for this way in.
    pub fn address(&self, door: Door) -> String {
        let port = self.ports.iter().find(|(it, _)| *it == door);
        // Every door has one: they are made from the same list.
        format!("127.0.0.1:{}", port.map_or(0, |(_, port)| *port))
    }

    /// The certificate of the authority that signed the broker's: what a client is to trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The certificate of an authority that signed nothing here.
    pub fn stranger(&self) -> PathBuf {
        self.folder.join("stranger.pem")
    }

    /// Certificate and key of a client that [`Door::Mutual`] lets in.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (
            self.folder.join("client.pem"),
            self.folder.join("client.key"),
        )
    }
}

/// The listeners, their keys, and the users.
fn beyond(folder: &Folder, ports: &[(Door, u16)]) -> Result<Beyond> {
    let authority = Authority::new("authority")?;
    authority.write(&folder.join("authority.pem"))?;
    Authority::new("stranger")?.write(&folder.join("stranger.pem"))?;
    authority.sign(folder.path(), "client", &[])?;
    let here = authority.sign(folder.path(), "broker", &["127.0.0.1", "localhost"])?;
    let here = keystore(folder, "broker", &here)?;
    let elsewhere = authority.sign(folder.path(), "elsewhere", &["elsewhere.test"])?;
    let elsewhere = keystore(folder, "elsewhere", &elsewhere)?;
    let mut beyond = Beyond::default();
    for (door, port) in ports {
        let (name, protocol) = door.listener();
        beyond.listeners.push((name, protocol, *port));
        let mut set = |property: &str, value: &str| {
            let listener = name.to_lowercase();
            let line = format!("listener.name.{listener}.{property}={value}");
            beyond.properties.push(line);
        };
        if *door != Door::SaslPlaintext {
            let store = match door {
                Door::Misnamed => &elsewhere,
                _ => &here,
            };
            set("ssl.keystore.type", "PEM");
            set("ssl.keystore.location", store);
        }
        if *door == Door::Mutual {
            let trusted = folder.join("authority.pem");
            set("ssl.client.auth", "required");
            set("ssl.truststore.type", "PEM");
            set("ssl.truststore.location", &trusted.display().to_string());
        }
        let mechanisms: &[&str] = match door {
            Door::SaslPlaintext => &["PLAIN"],
            Door::SaslSsl => &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
            _ => continue,
        };
        set("sasl.enabled.mechanisms", &mechanisms.join(","));
        for mechanism in mechanisms {
            let login = match *mechanism {
                "PLAIN" => format!("{PLAIN} user_{USER}=\"{PASSWORD}\";"),
                _ => format!("{SCRAM};"),
            };
            let property = format!("{}.sasl.jaas.config", mechanism.to_lowercase());
            set(&property, &login);
        }
    }
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let user = format!("{mechanism}=[name={USER},password={PASSWORD}]");
        beyond.format.extend(["--add-scram".to_owned(), user]);
    }
    Ok(beyond)
}

/// A file as the broker reads it: the key, then the certificate.
fn keystore(folder: &Folder, name: &str, signed: &Signed) -> Result<String> {
    let read = |file| std::fs::read_to_string(file).context("a file of our own");
    let store = folder.join(&format!("{name}.keystore"));
    let text = read(&signed.key)? + &read(&signed.certificate)?;
    std::fs::write(&store, text).context("the broker's keystore")?;
    Ok(store.display().to_string())
}
