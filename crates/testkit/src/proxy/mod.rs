//! A TCP proxy before a service, whose faults are set while it runs: slow, gone, a black hole, or an answer that is lost.
//! It knows bytes only: what a request looks like is told to it as a pattern.
//! Called by fault tests, which give its address to the shop in place of the service's.

mod connection;
mod trap;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::free_port;

use trap::Armed;
pub use trap::{Catch, Trap};

/// What happens to everything that passes. The default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How much later each piece reaches the server, and the client.
    pub to_server: Duration,
    pub to_client: Duration,
    /// New connections are refused.
    pub refused: bool,
    /// Connections are accepted and stay open, but what is sent on them, either way, is swallowed. Those that have lost
    /// something are closed when this ends.
    pub blackhole: bool,
    /// A connection is closed as soon as so many bytes have passed on it, both ways taken together.
    pub cut_after_bytes: Option<u64>,
}

/// Listens on a free loopback port, forwards to one address. Dropping it closes everything.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: String,
    state: watch::Sender<State>,
    armed: Armed,
}

#[derive(Clone, Copy, Default)]
struct State {
    faults: Faults,
    /// How often all connections were cut: one that sees another number than it began with ends.
    cuts: u64,
}

impl Proxy {
    /// `upstream` is `host:port`.
    pub async fn start(upstream: impl Into<String>) -> Result<Proxy> {
        let port = free_port();
        let shared = Arc::new(Shared {
            upstream: upstream.into(),
            state: watch::Sender::new(State::default()),
            armed: Armed::default(),
        });
        let listener = listen(port).await?;
        let accepting = tokio::spawn(accept(port, listener, shared.clone()));
        Ok(Proxy {
            port,
            shared,
            accepting,
        })
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on, for open connections too.
    pub fn set(&self, faults: Faults) {
        self.shared.state.send_modify(|state| state.faults = faults);
    }

    /// Closes all connections and refuses new ones, until [`Proxy::heal`] or [`Proxy::set`].
    pub fn cut(&self) {
        self.shared.state.send_modify(|state| {
            state.cuts += 1;
            state.faults.refused = true;
        });
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// Catches one request: the next piece from a client that holds `on`, on a connection that has carried `after` since
    /// this call. A trap that has not sprung yet is replaced.
    pub fn arm(&self, after: &[u8], on: &[u8], catch: Catch) -> Trap {
        self.shared.armed.arm(after, on, catch)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.state.send_modify(|state| state.cuts += 1);
    }
}

async fn listen(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("a proxy on port {port}"))
}

/// The listener is closed while connections are refused: only so does the kernel refuse them.
async fn accept(port: u16, first: TcpListener, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    let mut listener = Some(first);
    loop {
        if state.borrow_and_update().faults.refused {
            listener = None;
            if state.wait_for(|it| !it.faults.refused).await.is_err() {
                return;
            }
        }
        let open = match listener.take() {
            Some(open) => open,
            // The port is ours as long as we live: binding it can only fail for want of memory or sockets.
            None => match listen(port).await {
                Ok(open) => open,
                Err(error) => {
                    eprintln!("{error:#}");
                    return;
                }
            },
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(connection::run(client, shared.clone()));
            },
            changed = state.changed() => if changed.is_err() {
                return;
            },
        }
        listener = Some(open);
    }
}

#[cfg(test)]
mod tests;
