//! Free ports on the loopback interface.
//! It reserves nothing: the port is free when it is given out, and given out once per process.
//! Called by the services, the shop process and tests.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

// Below the range from which the kernel takes ports for outgoing connections (32768 and up). A service that restarts on its port
// would otherwise find it taken: a client that keeps dialling a dead port of that range ends up connected to itself.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A loopback TCP port on which nothing listens, never the same twice in one process.
///
/// # Panics
/// When a thousand random ports in a row are taken.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let port = FIRST + fastrand::u16(..COUNT);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
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
}
