//! Who is connected, for operators. Like the count of connections it is one for all worker threads, and locked for a few instructions.

use std::collections::BTreeMap;
use std::sync::Arc;

use exai_actors::clock::UtcMillis;
use exai_actors::ids::{Principal, SessionId};
use exai_actors::storage::rows::NewSession;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::edge::Facts;
use super::monitor::Monitor;

/// Sessions that are shown; the oldest of more.
const SHOWN_MAX: usize = 500;

/// The open sessions; clones share them.
#[derive(Clone, Default)]
pub(crate) struct OpenSessions {
    open: Arc<Mutex<BTreeMap<SessionId, Card>>>,
}

/// One open session.
pub(super) struct Card {
    pub(super) session: NewSession,
    pub(super) monitor: Monitor,
    /// Cancelled to close it.
    pub(super) leaves: CancellationToken,
}

impl OpenSessions {
    pub(super) fn enter(&self, card: Card) {
        self.open.lock().insert(card.session.id, card);
    }

    pub(super) fn leave(&self, id: SessionId) {
        self.open.lock().remove(&id);
    }

    /// Closes a session, over WebSocket with 1008; its calls go on. False where there is none.
    pub(crate) fn disconnect(&self, id: SessionId) -> bool {
        let leaves = self.open.lock().get(&id).map(|card| card.leaves.clone());
        if let Some(leaves) = &leaves {
            leaves.cancel();
        }
        leaves.is_some()
    }

    /// What operators see of each.
    pub(crate) fn seen(&self) -> Vec<(SessionId, Value)> {
        let open = self.open.lock();
        open.iter().take(SHOWN_MAX).map(|(id, card)| (*id, card.seen())).collect()
    }
}

impl Card {
    fn seen(&self) -> Value {
        let NewSession { principal, client, protocol, transport, connected_at, .. } = &self.session;
        let (messages_in, messages_out, active_at) = self.monitor.activity();
        json!({
            "principal": principal, "client": client, "era": protocol, "transport": transport,
            "connected_at": connected_at, "peer": self.monitor.peer(), "messages_in": messages_in,
            "messages_out": messages_out, "active_at": active_at,
        })
    }
}

/// The row of a session that introduced itself, over which transport and when.
pub(super) fn new_session(
    id: SessionId,
    principal: Principal,
    facts: Facts,
    (transport, connected_at): (&str, UtcMillis),
) -> NewSession {
    let Facts { client, protocol, name: _ } = facts;
    NewSession { id, principal, client, protocol, transport: transport.to_owned(), connected_at }
}
