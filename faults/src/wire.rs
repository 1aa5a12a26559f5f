//! What is said to the services themselves: commands for Redis, of which no client is needed for three of them.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends commands in turn over one connection; the text of all answers (RESP, as it comes).
pub async fn redis(url: &str, commands: &[Vec<String>]) -> Result<String> {
    let address = url.trim_start_matches("redis://");
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to {url}"))?;
    let quit = vec!["QUIT".to_owned()];
    let mut asked = String::new();
    for command in commands.iter().chain([&quit]) {
        asked.push_str(&format!("*{}\r\n", command.len()));
        for word in command {
            asked.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
    }
    stream.write_all(asked.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let refused = answer.lines().find(|line| line.starts_with('-'));
    ensure!(refused.is_none(), "Redis refused: {refused:?}");
    Ok(answer)
}

/// A command out of words.
pub fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
