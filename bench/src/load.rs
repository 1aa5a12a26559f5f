//! A closed loop over keep-alive HTTP/1.1 connections: each sends its next request when the last was answered.
//! A stall slows the loop down and is therefore partly hidden; that is what a closed loop shows. Scenarios call it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Latencies are kept in microseconds up to a minute, to three figures.
const HIGHEST_US: u64 = 60_000_000;

/// What came back, of one run or of one connection of it.
pub struct Tally {
    /// Answers of each status; 0 counts connections that broke.
    pub statuses: BTreeMap<u16, u64>,
    pub latency_us: Histogram<u64>,
    pub took: Duration,
}

impl Tally {
    pub fn new() -> Result<Self> {
        Ok(Self {
            statuses: BTreeMap::new(),
            latency_us: Histogram::new_with_bounds(1, HIGHEST_US, 3)?,
            took: Duration::ZERO,
        })
    }

    fn count(&mut self, status: u16, took: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        let us = u64::try_from(took.as_micros()).unwrap_or(HIGHEST_US);
        self.latency_us.saturating_record(us.max(1));
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.latency_us.add(&other.latency_us)?;
        Ok(())
    }

    pub fn of(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    pub fn all(&self) -> u64 {
        self.statuses.values().sum()
    }
}

/// Makes the next request of a connection: its path and query, its JSON body, its Idempotency-Key.
pub type NextRequest = Arc<dyn Fn() -> Ask + Send + Sync>;

pub struct Ask {
    pub path: String,
    pub body: Bytes,
    pub key: Option<String>,
}

/// POSTs from `connections` connections for so long. `authority` is `127.0.0.1:8083`.
pub async fn closed_loop(
    authority: &str,
    connections: usize,
    length: Duration,
    next: NextRequest,
) -> Result<Tally> {
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let mut workers = Vec::with_capacity(connections);
    for _ in 0..connections {
        workers.push(tokio::spawn(worker(
            authority.to_owned(),
            next.clone(),
            stop.clone(),
        )));
    }
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Tally::new()?;
    for worker in workers {
        all.add(&worker.await??)?;
    }
    all.took = start.elapsed();
    Ok(all)
}

async fn worker(authority: String, next: NextRequest, stop: Arc<AtomicBool>) -> Result<Tally> {
    let mut tally = Tally::new()?;
    let mut connection = connect(&authority).await?;
    while !stop.load(Ordering::Relaxed) {
        let ask = next();
        let begun = Instant::now();
        match post(&mut connection, &authority, ask).await {
            Ok(status) => tally.count(status, begun.elapsed()),
            Err(_) => {
                tally.count(0, begun.elapsed());
                if tally.of(0) > 100 {
                    bail!("more than 100 broken connections to {authority}");
                }
                connection = connect(&authority).await?;
            }
        }
    }
    Ok(tally)
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority)
        .await
        .with_context(|| format!("connecting to {authority}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with its sender; an error shows up at the next request.
    tokio::spawn(connection);
    Ok(sender)
}

async fn post(connection: &mut SendRequest<Full<Bytes>>, authority: &str, ask: Ask) -> Result<u16> {
    connection.ready().await?;
    let mut request = Request::post(ask.path)
        .header("host", authority)
        .header("content-type", "application/json");
    if let Some(key) = ask.key {
        request = request.header("idempotency-key", key);
    }
    let response = connection
        .send_request(request.body(Full::new(ask.body))?)
        .await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    Ok(status)
}
