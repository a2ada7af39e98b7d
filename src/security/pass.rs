//! What let a connection in. A connection outlives the request that opened it; it must not outlive the token.

use std::future::pending;
use std::time::Duration;

use exai_actors::ids::Principal;

use super::browsers::Held;
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
    /// In which browser's login, if in one's.
    pub(super) login: Option<Held>,
}

impl Pass {
    /// One that nothing revokes.
    #[cfg(test)]
    pub(crate) fn lasting(principal: Principal) -> Self {
        Self { principal, by: None, login: None }
    }

    /// The same, in a browser's login.
    pub(crate) fn of_login(self, login: Held) -> Self {
        Self { login: Some(login), ..self }
    }

    /// Waits until the token does not open any more what it opened, or the login is over.
    pub(crate) async fn revoked(&self) {
        tokio::select! {
            () = self.token_revoked() => {}
            () = self.logged_out() => {}
        }
    }

    async fn logged_out(&self) {
        let Some(Held { until, ended, .. }) = &self.login else { return pending().await };
        // Where it ends by itself, that is what is waited for.
        let _ = tokio::time::timeout_at(*until, ended.cancelled()).await;
    }

    async fn token_revoked(&self) {
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
