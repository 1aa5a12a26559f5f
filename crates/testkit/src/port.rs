//! Free ports on the loopback interface.
//! A port is kept from other processes that ask here, not from strangers: nothing listens on it when it is given out.
//! Called by the services, the shop process and tests.

use std::collections::BTreeMap;
use std::io::Result;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

// Below the range from which the kernel takes ports for outgoing connections (32768 and up). A service that restarts on its port
// would otherwise find it taken: a client that keeps dialling a dead port of that range ends up connected to itself.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Ports given out, each with what keeps it from other processes until this one ends.
static GIVEN: Mutex<BTreeMap<u16, UnixListener>> = Mutex::new(BTreeMap::new());

/// A loopback TCP port on which nothing listens, given to nobody else while this process lives: not while its service starts,
/// and not while it is stopped to be started again. Another's service there would be taken for one's own.
///
/// # Panics
/// When a thousand random ports in a row are taken.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let port = FIRST + fastrand::u16(..COUNT);
        if let Ok(kept) = keep(port)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            given.insert(port, kept);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// A name that one socket can have at a time; the kernel frees it with the process. Ports and such names are alike to a network
/// namespace.
fn keep(port: u16) -> Result<UnixListener> {
    let name = format!("madang-testkit-port-{port}");
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_can_be_bound() {
        let first = free_port();
        let second = free_port();
        assert_ne!(first, second);
        TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("the port is free");
    }

    #[test]
    fn a_port_that_was_given_is_given_to_no_other_process() {
        // What another process would ask for first.
        assert!(keep(free_port()).is_err());
    }
}
