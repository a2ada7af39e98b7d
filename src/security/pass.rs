//! What let a connection in. A connection outlives the request that opened it; it must not outlive the token.

use std::future::pending;
use std::time::Duration;

use exai_actors::ids::Principal;

use super::scopes::Scope;
use super::{Gate, caller};

/// How often it is looked whether the named tokens have changed, beside every request's look.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Held by a connection; clones are the same one's.
#[derive(Clone)]
pub(crate) struct Pass {
    /// Whose connection it is.
    pub(crate) principal: Principal,
    /// By which token, as its digest, and for what; none for one that lasts.
    pub(super) by: Option<(Gate, [u8; 32], Scope)>,
}

impl Pass {
    /// One that nothing revokes.
    #[cfg(test)]
    pub(crate) fn lasting(principal: Principal) -> Self {
        Self { principal, by: None }
    }

    /// Waits until the token does not open any more what it opened.
    pub(crate) async fn revoked(&self) {
        let Some((gate, token, scope)) = &self.by else { return pending().await };
        let mut entries = gate.rules.keyring.follow();
        let opens = |entries: &_| caller(gate, entries, token).is_some_and(|caller| caller.may(*scope));
        if entries.wait_for(|entries| !opens(entries)).await.is_err() {
            // The gate is gone, and the server with it.
            pending::<()>().await;
        }
    }
}

/// Looks at the named tokens for ever, so that connections on which nothing happens hear of a change too.
pub(crate) async fn watch(gate: Gate) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        gate.rules.keyring.entries();
    }
}
