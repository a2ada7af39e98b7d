//! Ports for servers that are to be found again after their end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A free port below those that the system gives to connections: one of them could have it when the server starts again, even one that
/// is trying to reach it.
pub(crate) fn free_port() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(15_000..30_000)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
