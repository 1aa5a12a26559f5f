//! TCP_NODELAY for connections that sqlx opened without it: otherwise each statement larger than a segment, and each prepared
//! statement that is closed, waits up to 40 ms for the server's delayed acknowledgement.
//! Not needed on unix sockets. The pool calls it whenever it has opened a connection.

use std::os::fd::{BorrowedFd, RawFd};

use socket2::SockRef;

/// Sets it on every TCP connection of this process to that port that lacks it. sqlx hands out no socket, so they are found among the
/// process' open descriptors; what cannot be read or set is left as it is, for it only costs time.
pub fn set_on_connections_to(port: u16) {
    // A directory of the caller's own descriptors on Linux, macOS and the BSDs.
    let Ok(entries) = std::fs::read_dir("/dev/fd") else {
        return;
    };
    let descriptors: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in descriptors {
        // SAFETY: the number was open a moment ago. Should it have been closed since, the calls below fail with EBADF; should it
        // have become another socket, its peer is asked first, and no delay is right for any connection to this port.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let socket = SockRef::from(&descriptor);
        let ours = socket
            .peer_addr()
            .ok()
            .and_then(|peer| peer.as_socket())
            .is_some_and(|peer| peer.port() == port);
        if ours && !socket.tcp_nodelay().unwrap_or(true) {
            let _ = socket.set_tcp_nodelay(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn finds_the_connections_to_a_port() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let to_server = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let to_other = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        set_on_connections_to(server.local_addr().unwrap().port());
        assert!(to_server.nodelay().unwrap());
        assert!(!to_other.nodelay().unwrap());
    }
}
