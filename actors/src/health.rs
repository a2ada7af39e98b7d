//! The health board: what each part last said of itself. It is the one lock of the actors, so that a probe never waits for a
//! mailbox; whoever holds it copies a few words and lets go.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Serialize;

use crate::clock::UtcMillis;

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Does all of its work.
    Ok,
    /// Works, with something missing; the detail says what.
    Degraded,
    /// Does not work.
    Down,
}

/// What a part last said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentHealth {
    /// How it is.
    pub status: Status,
    /// One sentence for the operator; no content, no secret.
    pub detail: String,
    /// Since when the status has been this one (UTC, milliseconds).
    pub since: UtcMillis,
}

/// The board itself; clones share it.
#[derive(Debug, Clone, Default)]
pub struct HealthBoard {
    components: Arc<RwLock<BTreeMap<String, ComponentHealth>>>,
}

impl HealthBoard {
    /// Notes how `component` is. `since` moves only when the status changes.
    pub fn set(&self, component: &str, status: Status, detail: impl Into<String>, now: UtcMillis) {
        let mut components = self.components.write();
        let since = match components.get(component) {
            Some(before) if before.status == status => before.since,
            Some(_) | None => now,
        };
        components.insert(component.to_owned(), ComponentHealth { status, detail: detail.into(), since });
    }

    /// What one part last said, if it ever did.
    pub fn get(&self, component: &str) -> Option<ComponentHealth> {
        self.components.read().get(component).cloned()
    }

    /// All parts, by name.
    pub fn snapshot(&self) -> BTreeMap<String, ComponentHealth> {
        self.components.read().clone()
    }

    /// The worst status on the board; an empty board is `Ok`.
    pub fn worst(&self) -> Status {
        self.components.read().values().map(|component| component.status).max().unwrap_or(Status::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_moves_only_with_the_status() {
        let board = HealthBoard::default();
        board.set("storage", Status::Ok, "", UtcMillis(1));
        board.set("storage", Status::Ok, "still", UtcMillis(2));
        assert_eq!(board.get("storage").map(|storage| storage.since), Some(UtcMillis(1)));
        board.set("storage", Status::Down, "gone", UtcMillis(3));
        assert_eq!(board.get("storage").map(|storage| storage.since), Some(UtcMillis(3)));
        assert_eq!(board.worst(), Status::Down);
    }
}
