//! The one question of Kafka's protocol that readiness needs: who are the brokers?
//! Not a client: no topic, no record.
//! Called by `kafka`.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METADATA: i16 = 3;
const VERSION: i16 = 1;
const CORRELATION: i32 = 7;
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// How many brokers the one at `address` knows to be up. A KRaft broker that has not registered yet is not among them.
pub async fn brokers_up(address: &str) -> Result<i32> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&request()).await?;
    let size = usize::try_from(stream.read_i32().await?).context("a negative size")?;
    ensure!(size <= ANSWER_MAX_BYTES, "an answer of {size} bytes");
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer).await?;
    count(&answer)
}

/// Size, then api key, version, correlation id, client id, and an empty list of topics (version 1 reads null as "all").
fn request() -> Vec<u8> {
    let client = b"testkit";
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(CORRELATION.to_be_bytes());
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client);
    body.extend(0_i32.to_be_bytes());
    let mut framed = (body.len() as i32).to_be_bytes().to_vec();
    framed.extend(body);
    framed
}

/// The answer starts with the correlation id and the number of brokers.
fn count(answer: &[u8]) -> Result<i32> {
    let int = |at: usize| -> Result<i32> {
        let bytes = answer.get(at..at + 4).context("a short answer")?;
        Ok(i32::from_be_bytes(bytes.try_into()?))
    };
    ensure!(int(0)? == CORRELATION, "somebody else's answer");
    int(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_number_of_brokers() {
        let answer = [0, 0, 0, 7, 0, 0, 0, 3, 9, 9];
        assert_eq!(count(&answer).unwrap(), 3);
        assert!(count(&answer[..6]).is_err());
        assert!(count(&[0, 0, 0, 8, 0, 0, 0, 3]).is_err());
    }
}
