//! The listener: binds, serves HTTP/1.1, and stops in order.
//! A connection that sends no whole request head for `idle_max_ms` is closed: a client that is gone without a word, or one that means ill.
//! On cancel it accepts no more, lets open requests finish within `drain_ms`, and then leaves what is open (event streams) to the end
//! of the process.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::config::Http;

/// What lacks when a connection cannot be accepted (file descriptors, most often) is not there again at once.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// # Errors
/// The address is taken or not this machine's.
pub async fn bind(settings: &Http) -> anyhow::Result<TcpListener> {
    TcpListener::bind(&settings.listen).await.with_context(|| {
        format!(
            "cannot listen on {} (setting http.listen); is another process there?",
            settings.listen
        )
    })
}

/// Serves until `cancel`.
pub async fn run(
    listener: TcpListener,
    router: Router,
    settings: &Http,
    cancel: CancellationToken,
) {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(settings.idle_max_ms))
        .max_buf_size(settings.head_max_bytes);
    let open = GracefulShutdown::new();
    while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                let service = service_fn(answering(router.clone(), peer));
                let stream = TokioIo::new(prompt(stream));
                let connection = open.watch(protocol.serve_connection(stream, service));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::trace!(%peer, %error, "a connection ended");
                    }
                });
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let drain = Duration::from_millis(settings.drain_ms);
    if tokio::time::timeout(drain, open.shutdown()).await.is_err() {
        tracing::info!("open connections were cut at the end of the drain");
    }
}

/// The router as one connection's service: each request carries who sent it.
fn answering(
    router: Router,
    peer: SocketAddr,
) -> impl Fn(Request<Incoming>) -> <Router as Service<Request<Body>>>::Future {
    move |mut request| {
        request.extensions_mut().insert(ConnectInfo(peer));
        // A router is always ready; its clone is a counted reference.
        router.clone().call(request.map(Body::new))
    }
}

/// Without it small answers wait for the client's delayed acknowledgement.
fn prompt(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    stream
}

/// The client went away before it was accepted; the listener is as well as before.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
