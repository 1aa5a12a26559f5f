//! One keep-alive HTTP/1.1 connection: a request is one write, its answer is read to its end before the next.
//! As little as a load generator needs, because it shares the processor with what it measures. No TLS, no pipelining.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{self, Body, Head, Malformed};

const BUFFER_BYTES: usize = 4 * 1024;

pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    /// What was read and belongs to no answer that was handed out.
    read: Vec<u8>,
    /// The body of a chunked answer, put together.
    joined: Vec<u8>,
    keeps_open: bool,
}

pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            address,
            stream,
            read: Vec::with_capacity(BUFFER_BYTES),
            joined: Vec::new(),
            keeps_open: true,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends `request`, whole, and reads the whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let head = self.send(request).await?;
        match head.body {
            Body::Length(length) => {
                let end = head.bytes + length;
                while self.read.len() < end {
                    self.more().await?;
                }
                Ok(Answer {
                    status: head.status,
                    body: &self.read[head.bytes..end],
                })
            }
            Body::Chunked => {
                self.read.drain(..head.bytes);
                self.joined.clear();
                loop {
                    let part = self.chunk().await?;
                    if part.is_empty() {
                        break;
                    }
                    self.joined.extend_from_slice(&part);
                }
                Ok(Answer {
                    status: head.status,
                    body: &self.joined,
                })
            }
        }
    }

    /// Sends `request` and reads no more than the head of the answer: for streams, whose chunks come with [`Self::chunk`].
    pub async fn begin(&mut self, request: &[u8]) -> io::Result<Head> {
        let head = self.send(request).await?;
        self.read.drain(..head.bytes);
        Ok(head)
    }

    /// The next chunk of an answer that was begun; empty: the last.
    pub async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(chunk) = wire::chunk(&self.read, 0).map_err(malformed)? {
                let data = self.read[chunk.data].to_vec();
                self.read.drain(..chunk.next);
                return Ok(data);
            }
            self.more().await?;
        }
    }

    async fn send(&mut self, request: &[u8]) -> io::Result<Head> {
        if !self.keeps_open {
            *self = Connection::open(self.address).await?;
        }
        self.read.clear();
        self.stream.write_all(request).await?;
        loop {
            self.more().await?;
            if let Some(head) = wire::head(&self.read).map_err(malformed)? {
                self.keeps_open = head.keeps_open;
                return Ok(head);
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

fn malformed(what: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers every request, whatever it is, with the next of these, in the given pieces.
    async fn peer(answers: &'static [&'static [&'static str]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            for answer in answers {
                assert!(stream.read(&mut request).await.unwrap() > 0);
                for piece in *answer {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_come_apart_however_they_arrive() {
        let address = peer(&[
            &["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 4\r\n\r\nab", "cd"],
            &[
                "HTTP/1.1 409 Conflict\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
                "c\r\n1\r\nd\r\n0\r",
                "\n\r\n",
            ],
            &["HTTP/1.1 204 No Content\r\n\r\n"],
        ])
        .await;
        let mut connection = Connection::open(address).await.unwrap();
        for expected in [(200, &b"abcd"[..]), (409, &b"abcd"[..]), (204, &b""[..])] {
            let answer = connection.ask(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            assert_eq!((answer.status, answer.body), expected);
        }
        assert!(connection.ask(b"GET / HTTP/1.1\r\n\r\n").await.is_err());
    }

    #[tokio::test]
    async fn a_stream_comes_in_its_chunks() {
        let address = peer(&[&[
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
            "1\r\nc\r\n0\r\n\r\n",
        ]])
        .await;
        let mut connection = Connection::open(address).await.unwrap();
        let head = connection.begin(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(head.status, 200);
        for expected in ["ab", "c", ""] {
            assert_eq!(connection.chunk().await.unwrap(), expected.as_bytes());
        }
    }
}
