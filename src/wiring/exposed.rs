//! What must hold before other machines may reach a port.

use crate::config::Config;
use crate::security::{Gate, TokenError};

/// Refuses to be reached by other machines with a token that nobody chose for that.
pub(super) fn check(config: &Config, gate: &Gate) -> Result<(), TokenError> {
    let chosen = config.token.as_ref().is_some_and(|token| !token.is_weak()) || gate.has_named_tokens();
    for (key, address) in [("listen.mcp", config.listen.mcp), ("listen.dashboard", config.listen.dashboard)] {
        if !address.ip().is_loopback() {
            if !chosen {
                return Err(TokenError::NotOnPurpose { key, address });
            }
            if config.listen.tls_cert.is_some() {
                continue;
            }
            log::warn!(key, address:%; "other machines reach this address, and it has no TLS: tokens and prompts go in the clear unless a proxy in front encrypts");
        }
    }
    Ok(())
}
