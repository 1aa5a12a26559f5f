//! One connection through the proxy: a pump each way, under the faults of the moment.
//! When either side ends, both do: no service of ours goes on with half a connection.
//! Called by the proxy for each client.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, watch};

use super::trap::{Catch, Trap, Watcher};
use super::{Faults, Shared, State};

const PIECE_BYTES: usize = 64 * 1024;

/// What the two pumps of a connection share.
struct Link {
    shared: Arc<Shared>,
    passed_bytes: AtomicU64,
    /// Something was swallowed: what would come after it makes no sense.
    has_hole: AtomicBool,
    /// The trap that caught a request of this connection.
    caught: Mutex<Option<Trap>>,
    hang_up: Notify,
}

enum Fate {
    Passes(usize),
    Swallowed,
    /// So many bytes still pass, then the connection is closed.
    Last(usize),
}

pub(super) async fn run(client: TcpStream, shared: Arc<Shared>) {
    let state = shared.state.subscribe();
    let served = serve(client, shared);
    tokio::select! {
        () = served => {},
        () = cut(state) => {},
    }
}

/// Returns when all connections are cut.
async fn cut(mut state: watch::Receiver<State>) {
    let begun = state.borrow().cuts;
    let _ = state.wait_for(|it| it.cuts != begun).await;
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.upstream).await else {
        return;
    };
    // Latency is what is asked for, not what Nagle adds.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let link = Link {
        shared,
        passed_bytes: AtomicU64::new(0),
        has_hole: AtomicBool::new(false),
        caught: Mutex::new(None),
        hang_up: Notify::new(),
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = requests(&link, from_client, to_server) => {},
        _ = answers(&link, from_server, to_client) => {},
        () = link.hole_is_over() => {},
    }
}

async fn requests(
    link: &Link,
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
) -> std::io::Result<()> {
    let mut watcher = Watcher::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = client.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        tokio::time::sleep(link.faults().to_server).await;
        let passing = match link.fate(read) {
            Fate::Passes(length) => &piece[..length],
            Fate::Swallowed => continue,
            Fate::Last(length) => return server.write_all(&piece[..length]).await,
        };
        if let Some(trap) = watcher.look(&link.shared.armed, passing) {
            *link.lock() = Some(trap.clone());
            if trap.catch() == Catch::Hold {
                link.hang_up.notify_one();
                trap.released().await;
            }
            server.write_all(passing).await?;
            // The answer ends the connection, wherever the client is by now.
            return std::future::pending().await;
        }
        server.write_all(passing).await?;
    }
}

async fn answers(
    link: &Link,
    mut server: OwnedReadHalf,
    client: OwnedWriteHalf,
) -> std::io::Result<()> {
    let mut client = Some(client);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = tokio::select! {
            read = server.read(&mut piece) => read?,
            () = link.hang_up.notified() => {
                client = None;
                continue;
            },
        };
        if read == 0 {
            return Ok(());
        }
        if let Some(trap) = link.lock().take() {
            trap.was_answered();
            return Ok(());
        }
        tokio::time::sleep(link.faults().to_client).await;
        let Some(client) = client.as_mut() else {
            continue;
        };
        match link.fate(read) {
            Fate::Passes(length) => client.write_all(&piece[..length]).await?,
            Fate::Swallowed => {}
            Fate::Last(length) => return client.write_all(&piece[..length]).await,
        }
    }
}

impl Link {
    fn faults(&self) -> Faults {
        self.shared.state.borrow().faults
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Trap>> {
        self.caught.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a piece of so many bytes.
    fn fate(&self, bytes: usize) -> Fate {
        let faults = self.faults();
        if faults.blackhole {
            self.has_hole.store(true, Ordering::Relaxed);
            return Fate::Swallowed;
        }
        let before = self.passed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let left = faults.cut_after_bytes.map(|max| max.saturating_sub(before));
        match left {
            Some(left) if left <= bytes as u64 => Fate::Last(left as usize),
            _ => Fate::Passes(bytes),
        }
    }

    /// Returns when a black hole has ended that took something of this connection.
    async fn hole_is_over(&self) {
        let mut state = self.shared.state.subscribe();
        let over = |it: &State| !it.faults.blackhole && self.has_hole.load(Ordering::Relaxed);
        let _ = state.wait_for(over).await;
    }
}
