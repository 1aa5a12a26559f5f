//! A data platform as the shop meets it over HTTP: it takes what it is sent, at once or after a while, refuses it, or says nothing
//! at all, as it is told. Scenarios start it and name it to their shops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Takes = 0,
    Fails = 1,
    Hangs = 2,
}

pub struct Platform {
    pub url: String,
    manner: Arc<Manner>,
}

#[derive(Default)]
struct Manner {
    mood: AtomicU8,
    /// Before each answer.
    delay_ms: AtomicU64,
    taken: AtomicU64,
}

impl Platform {
    pub async fn start() -> Result<Platform> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let manner = Arc::new(Manner::default());
        let of_all = manner.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manner = of_all.clone();
                tokio::spawn(async move {
                    // A caller that hangs up is nobody's loss.
                    let _ = serve(stream, &manner).await;
                });
            }
        });
        Ok(Platform { url, manner })
    }

    pub fn set(&self, mood: Mood) {
        self.manner.mood.store(mood as u8, Ordering::Relaxed);
    }

    /// From now on each answer comes so much later.
    pub fn delay_ms(&self, delay_ms: u64) {
        self.manner.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// Events that it has taken.
    pub fn taken(&self) -> u64 {
        self.manner.taken.load(Ordering::Relaxed)
    }
}

/// Requests in turn: each is read to its end by its Content-Length, then answered.
async fn serve(mut stream: TcpStream, manner: &Manner) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some(end) = request_end(&read) {
            read.drain(..end);
            let delay_ms = manner.delay_ms.load(Ordering::Relaxed);
            if delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            let answer: &[u8] = match manner.mood.load(Ordering::Relaxed) {
                mood if mood == Mood::Fails as u8 => {
                    b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
                }
                mood if mood == Mood::Hangs as u8 => std::future::pending().await,
                _ => {
                    manner.taken.fetch_add(1, Ordering::Relaxed);
                    b"HTTP/1.1 204 No Content\r\n\r\n"
                }
            };
            stream.write_all(answer).await?;
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        read.extend_from_slice(&buffer[..count]);
    }
}

/// Where the first request ends, if it is all there.
fn request_end(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).ok()?;
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (read.len() >= head + length).then_some(head + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_its_body() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST";
        assert_eq!(request_end(request), Some(request.len() - 4));
        assert_eq!(request_end(&request[..request.len() - 6]), None);
        assert_eq!(request_end(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        assert_eq!(request_end(b"GET / HTTP"), None);
    }
}
