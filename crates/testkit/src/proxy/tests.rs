//! The proxy before a server that answers every piece with the same in capitals.

use std::io::ErrorKind;

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// The server's address, and what it was asked.
async fn shouter() -> Result<(String, mpsc::UnboundedReceiver<String>)> {
    let port = free_port();
    let listener = listen(port).await?;
    let (asked, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut piece = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut piece).await {
                    let text = String::from_utf8_lossy(&piece[..read]).into_owned();
                    let answer = text.to_uppercase();
                    let _ = asked.send(text);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok((format!("127.0.0.1:{port}"), heard))
}

struct Asker(TcpStream);

impl Asker {
    async fn new(proxy: &Proxy) -> Result<Asker> {
        Ok(Asker(TcpStream::connect(proxy.address()).await?))
    }

    async fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.0.write_all(text.as_bytes()).await?)
    }

    /// An empty text: the connection was closed.
    async fn hear(&mut self) -> Result<String> {
        let mut piece = [0; 1024];
        match tokio::time::timeout(PATIENCE, self.0.read(&mut piece)).await? {
            Ok(read) => Ok(String::from_utf8_lossy(&piece[..read]).into_owned()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(String::new()),
            Err(error) => bail!(error),
        }
    }

    async fn ask(&mut self, text: &str) -> Result<String> {
        self.say(text).await?;
        self.hear().await
    }
}

#[tokio::test]
async fn passes_delays_cuts_and_comes_back() -> Result<()> {
    let (address, _heard) = shouter().await?;
    let proxy = Proxy::start(address).await?;
    let mut asker = Asker::new(&proxy).await?;
    assert_eq!(asker.ask("a").await?, "A");

    let slow = Duration::from_millis(60);
    proxy.set(Faults {
        to_server: slow,
        to_client: slow,
        ..Faults::default()
    });
    let begun = std::time::Instant::now();
    assert_eq!(asker.ask("b").await?, "B");
    assert!(begun.elapsed() >= slow * 2, "{:?}", begun.elapsed());

    proxy.cut();
    assert_eq!(asker.hear().await?, "", "open connections are closed");
    eventually(PATIENCE, "new ones are refused", async || {
        let refused = Asker::new(&proxy).await.err();
        ensure!(refused.is_some(), "accepted");
        Ok(())
    })
    .await;
    proxy.heal();
    eventually(PATIENCE, "new ones pass again", async || {
        let answer = Asker::new(&proxy).await?.ask("c").await?;
        ensure!(answer == "C", "{answer:?}");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn swallows_what_is_sent_and_closes_what_has_a_hole() -> Result<()> {
    let (address, mut heard) = shouter().await?;
    let proxy = Proxy::start(address).await?;
    let mut asker = Asker::new(&proxy).await?;
    let mut idle = Asker::new(&proxy).await?;
    assert_eq!(asker.ask("a").await?, "A");
    assert_eq!(idle.ask("i").await?, "I");
    proxy.set(Faults {
        blackhole: true,
        ..Faults::default()
    });
    asker.say("lost").await?;
    let mut late = Asker::new(&proxy).await?;
    late.say("lost too").await?;
    let silent = tokio::time::timeout(Duration::from_millis(100), late.hear()).await;
    assert!(silent.is_err(), "{silent:?}");
    proxy.heal();
    assert_eq!(asker.hear().await?, "");
    assert_eq!(late.hear().await?, "");
    assert_eq!(idle.ask("j").await?, "J", "it has lost nothing");
    heard.close();
    let mut all = Vec::new();
    while let Some(text) = heard.recv().await {
        all.push(text);
    }
    assert_eq!(all, ["a", "i", "j"]);
    Ok(())
}

#[tokio::test]
async fn cuts_after_so_many_bytes() -> Result<()> {
    let (address, _heard) = shouter().await?;
    let proxy = Proxy::start(address).await?;
    proxy.set(Faults {
        cut_after_bytes: Some(6),
        ..Faults::default()
    });
    let mut asker = Asker::new(&proxy).await?;
    assert_eq!(asker.ask("abcd").await?, "AB");
    assert_eq!(asker.hear().await?, "");
    Ok(())
}

#[tokio::test]
async fn loses_one_answer() -> Result<()> {
    let (address, mut heard) = shouter().await?;
    let proxy = Proxy::start(address).await?;
    let mut asker = Asker::new(&proxy).await?;
    let trap = proxy.arm(b"insert", b"commit", Catch::LoseAnswer);
    assert_eq!(asker.ask("commit").await?, "COMMIT", "nothing inserted yet");
    assert_eq!(asker.ask("insert").await?, "INSERT");
    assert!(!trap.has_sprung());
    assert_eq!(asker.ask("commit").await?, "");
    trap.answered().await;
    for expected in ["commit", "insert", "commit"] {
        assert_eq!(heard.recv().await.as_deref(), Some(expected));
    }
    let mut next = Asker::new(&proxy).await?;
    assert_eq!(next.ask("insert commit").await?, "INSERT COMMIT");
    Ok(())
}

#[tokio::test]
async fn holds_a_request_whose_client_is_cut_off() -> Result<()> {
    let (address, mut heard) = shouter().await?;
    let proxy = Proxy::start(address).await?;
    let trap = proxy.arm(b"", b"commit", Catch::Hold);
    let mut asker = Asker::new(&proxy).await?;
    assert_eq!(asker.ask("commit").await?, "");
    trap.sprung().await;
    assert!(heard.try_recv().is_err(), "the server has it already");
    trap.release();
    trap.answered().await;
    assert_eq!(heard.recv().await.as_deref(), Some("commit"));
    Ok(())
}
