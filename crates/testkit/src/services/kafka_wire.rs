//! The one question of Kafka's protocol that tests need beside a client: who are the brokers, and who leads a topic's partitions?
//! Not a client: no record, no topic made. Version 1 of the request, which every broker knows.
//! Called by `kafka` and `kafka_cluster`.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METADATA: i16 = 3;
const VERSION: i16 = 1;
const CORRELATION: i32 = 7;
const ANSWER_MAX_BYTES: usize = 64 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Those that are up. A KRaft broker that has not registered yet is not among them.
    pub brokers: Vec<Broker>,
    /// Of the topic that was asked for; none when it does not exist.
    pub partitions: Vec<Partition>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub port: u16,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    pub number: i32,
    /// The leader's id; -1: none.
    pub leader: i32,
    /// Ids of the replicas that are in sync.
    pub in_sync: Vec<i32>,
}

/// What the broker at `address` knows.
pub async fn metadata(address: &str, topic: Option<&str>) -> Result<Metadata> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&request(topic)).await?;
    let size = usize::try_from(stream.read_i32().await?).context("a negative size")?;
    ensure!(size <= ANSWER_MAX_BYTES, "an answer of {size} bytes");
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer).await?;
    parse(&answer)
}

/// Size, then api key, version, correlation id, client id, and a list of topics (null would mean "all").
fn request(topic: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(CORRELATION.to_be_bytes());
    put_text(&mut body, "testkit");
    let topics: Vec<&str> = topic.into_iter().collect();
    body.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        put_text(&mut body, topic);
    }
    let mut framed = (body.len() as i32).to_be_bytes().to_vec();
    framed.extend(body);
    framed
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as i16).to_be_bytes());
    body.extend(text.as_bytes());
}

fn parse(answer: &[u8]) -> Result<Metadata> {
    let mut rest = Rest(answer);
    ensure!(rest.int()? == CORRELATION, "somebody else's answer");
    let mut brokers = Vec::new();
    for _ in 0..rest.int()? {
        let id = rest.int()?;
        rest.text()?;
        let port = u16::try_from(rest.int()?).context("a port")?;
        rest.text()?;
        brokers.push(Broker { id, port });
    }
    let _controller = rest.int()?;
    let mut partitions = Vec::new();
    for _ in 0..rest.int()? {
        let _error = rest.short()?;
        rest.text()?;
        let _internal = rest.take::<1>()?;
        for _ in 0..rest.int()? {
            let _error = rest.short()?;
            let (number, leader) = (rest.int()?, rest.int()?);
            rest.ints()?;
            let in_sync = rest.ints()?;
            partitions.push(Partition {
                number,
                leader,
                in_sync,
            });
        }
    }
    Ok(Metadata {
        brokers,
        partitions,
    })
}

/// What of an answer has not been read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().context("a short answer")?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn short(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn int(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn ints(&mut self) -> Result<Vec<i32>> {
        let count = self.int()?;
        (0..count).map(|_| self.int()).collect()
    }

    /// A text, which may be null, is passed over.
    fn text(&mut self) -> Result<()> {
        let length = usize::try_from(self.short()?.max(0)).context("a length")?;
        self.0 = self.0.get(length..).context("a short answer")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_brokers_and_partitions() {
        let mut answer = Vec::new();
        let ints = |ints: &[i32], answer: &mut Vec<u8>| {
            for int in ints {
                answer.extend(int.to_be_bytes());
            }
        };
        ints(&[CORRELATION, 1, 2], &mut answer);
        put_text(&mut answer, "127.0.0.1");
        ints(&[9092], &mut answer);
        answer.extend((-1_i16).to_be_bytes());
        ints(&[2, 1], &mut answer);
        answer.extend(0_i16.to_be_bytes());
        put_text(&mut answer, "t");
        answer.push(0);
        ints(&[1], &mut answer);
        answer.extend(0_i16.to_be_bytes());
        ints(&[0, 3, 2, 3, 1, 1, 3], &mut answer);
        let seen = parse(&answer).expect("a whole answer");
        assert_eq!(seen.brokers, [Broker { id: 2, port: 9092 }]);
        let expected = Partition {
            number: 0,
            leader: 3,
            in_sync: vec![3],
        };
        assert_eq!(seen.partitions, [expected]);
        assert!(parse(&answer[..20]).is_err());
        answer[3] = 8;
        assert!(parse(&answer).is_err(), "another's correlation id");
    }
}
