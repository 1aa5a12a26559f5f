//! Load over keep-alive HTTP/1.1, from threads of its own so that its processor time can be told.
//! A closed loop sends the next request when the last was answered, so a stall slows it down and is partly hidden. In an open
//! loop requests are due at fixed instants and latency counts from there, so a stall is seen in all that waited for it.

mod connection;
mod pace;
mod request;
mod tally;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use connection::Connection;
pub use request::Request;
pub use tally::{Kind, Tally};

use crate::processor;
use pace::{Due, Turns};

/// A shop that breaks so many connections is not measured any more.
const BROKEN_MAX: u64 = 100;

/// Makes the next request of whoever asks, and says of which kind it is.
pub type Next = Arc<dyn Fn(&mut Request) -> usize + Send + Sync>;

/// Called with each answer's kind, status and body, from the generator's threads: for scenarios that read what they are told.
pub type Heard = Arc<dyn Fn(usize, u16, &[u8]) + Send + Sync>;

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// The next request when the last was answered, for so long.
    Closed { length: Duration },
    /// The same, for so many requests.
    Counted { requests: u64 },
    /// So many requests due a second, for so long.
    Open { per_second: f64, length: Duration },
}

#[derive(Clone)]
pub struct Load {
    /// Connections are spread over them evenly.
    pub addresses: Vec<SocketAddr>,
    pub connections: usize,
    pub threads: usize,
    pub pace: Pace,
}

impl Load {
    pub async fn run(&self, kinds: usize, next: &Next) -> Result<Tally> {
        self.run_heard(kinds, next, None).await
    }

    pub async fn run_heard(
        &self,
        kinds: usize,
        next: &Next,
        heard: Option<Heard>,
    ) -> Result<Tally> {
        let mut parts = Vec::new();
        for thread in 0..self.threads {
            let part = Part {
                addresses: (thread..self.connections)
                    .step_by(self.threads)
                    .map(|connection| self.addresses[connection % self.addresses.len()])
                    .collect(),
                pace: self.pace_of(thread),
                kinds,
                next: next.clone(),
                heard: heard.clone(),
            };
            parts.push(tokio::task::spawn_blocking(move || part.on_this_thread()));
        }
        let mut all = Tally::new(kinds)?;
        for part in parts {
            all.add(&part.await.context("a thread of the generator")??)?;
        }
        Ok(all)
    }

    /// The share of one thread of the whole.
    fn pace_of(&self, thread: usize) -> Pace {
        let threads = self.threads as u64;
        match self.pace {
            Pace::Closed { .. } => self.pace,
            Pace::Counted { requests } => Pace::Counted {
                requests: requests / threads + u64::from((thread as u64) < requests % threads),
            },
            Pace::Open { per_second, length } => Pace::Open {
                per_second: per_second / threads as f64,
                length,
            },
        }
    }
}

struct Part {
    addresses: Vec<SocketAddr>,
    pace: Pace,
    kinds: usize,
    next: Next,
    heard: Option<Heard>,
}

impl Part {
    fn on_this_thread(self) -> Result<Tally> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.run())
    }

    async fn run(self) -> Result<Tally> {
        let mut open = Vec::with_capacity(self.addresses.len());
        for address in &self.addresses {
            let connection = Connection::open(*address).await;
            open.push(connection.with_context(|| format!("connecting to {address}"))?);
        }
        let processor = processor::of_this_thread_us()?;
        let begun = Instant::now();
        let turns = Arc::new(match self.pace {
            Pace::Closed { length } => Turns::Closed {
                until: begun + length,
            },
            Pace::Counted { requests } => Turns::Counted {
                left: requests.into(),
            },
            Pace::Open { per_second, length } => Turns::Open(Due::new(begun, per_second, length)),
        });
        // One for all of the thread: a set of histograms a connection would not fit into the processor's caches.
        let tally = Arc::new(Mutex::new(Tally::new(self.kinds)?));
        let count = open.len();
        let workers: Vec<_> = open
            .into_iter()
            .map(|connection| {
                tokio::spawn(worker(
                    connection,
                    turns.clone(),
                    self.next.clone(),
                    self.heard.clone(),
                    tally.clone(),
                ))
            })
            .collect();
        if let Turns::Open(due) = turns.as_ref() {
            due.run(count).await?;
        }
        for worker in workers {
            worker.await??;
        }
        let mut tally = Arc::into_inner(tally)
            .context("the tally of a worker that ended")?
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        tally.took = begun.elapsed();
        tally.generator_us = processor::of_this_thread_us()?.saturating_sub(processor);
        if let Turns::Open(due) = turns.as_ref() {
            due.unsent(Instant::now())
                .for_each(|waited| tally.count_unsent(waited));
        }
        Ok(tally)
    }
}

async fn worker(
    mut connection: Connection,
    turns: Arc<Turns>,
    next: Next,
    heard: Option<Heard>,
    tally: Arc<Mutex<Tally>>,
) -> Result<()> {
    let mut request = Request::default();
    while let Some(due) = turns.next().await {
        let kind = next(&mut request);
        let answer = connection.ask(request.bytes()).await;
        let took = due.elapsed();
        let broken = {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(answer) => {
                    tally.count(kind, answer.status, took);
                    if answer.status >= 500 {
                        tally.complain(|| String::from_utf8_lossy(answer.body).into_owned());
                    }
                    if let Some(heard) = &heard {
                        heard(kind, answer.status, answer.body);
                    }
                    None
                }
                Err(error) => {
                    tally.count(kind, 0, took);
                    tally.complain(|| error.to_string());
                    Some(tally.broken())
                }
            }
        };
        if let Some(broken) = broken {
            let address = connection.address();
            if broken > BROKEN_MAX {
                bail!("more than {BROKEN_MAX} broken connections to {address}");
            }
            connection = Connection::open(address)
                .await
                .with_context(|| format!("connecting to {address} again"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_what_there_is() {
        let load = |pace| Load {
            addresses: Vec::new(),
            connections: 3,
            threads: 3,
            pace,
        };
        let counted = load(Pace::Counted { requests: 8 });
        let shares: Vec<u64> = (0..3)
            .map(|thread| match counted.pace_of(thread) {
                Pace::Counted { requests } => requests,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(shares, [3, 3, 2]);
        let open = load(Pace::Open {
            per_second: 300.0,
            length: Duration::from_secs(1),
        });
        assert!(matches!(open.pace_of(1), Pace::Open { per_second, .. } if per_second == 100.0));
    }
}
