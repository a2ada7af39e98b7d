//! What must hold before other machines may reach a port.

use std::net::SocketAddr;

use crate::config::Config;
use crate::security::TokenError;

/// Refuses to be reached by other machines with a token that nobody chose for that; `named` says whether there are named tokens.
pub(super) fn check(config: &Config, named: bool) -> Result<(), TokenError> {
    let chosen = config.token.as_ref().is_some_and(|token| !token.is_weak()) || named;
    match reached(config).next() {
        Some((key, address)) if !chosen => Err(TokenError::NotOnPurpose { key, address }),
        Some(_) | None => Ok(()),
    }
}

/// Warns of the ports that other machines reach without TLS.
pub(super) fn warn(config: &Config) {
    for (key, address) in reached(config).filter(|_| config.listen.tls_cert.is_none()) {
        log::warn!(key, address:%; "other machines reach this address, and it has no TLS: tokens and prompts go in the clear unless a proxy in front encrypts");
    }
}

fn reached(config: &Config) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let ports = [("listen.mcp", config.listen.mcp), ("listen.dashboard", config.listen.dashboard)];
    ports.into_iter().filter(|(_, address)| !address.ip().is_loopback())
}
