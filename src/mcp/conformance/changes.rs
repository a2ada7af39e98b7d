//! Lists that change when a tool says so, those who are told of it, and how much each session wants to be logged to.

use std::collections::HashMap;
use std::sync::LazyLock;

use exai_actors::ids::SessionId;
use parking_lot::Mutex;
use rmcp::model::{CallToolResponse, LoggingLevel, Tool};
use rmcp::service::SubscriptionContext;
use serde_json::json;
use tokio::sync::broadcast;

use super::{text, tool};

/// Changes that wait for one who is told of them.
const CHANGES_MAX: usize = 16;

/// A list that changed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Tools,
    Prompts,
}

static CHANGES: LazyLock<broadcast::Sender<Change>> = LazyLock::new(|| broadcast::channel(CHANGES_MAX).0);
/// A session's handler is made anew whenever its engine wakes, and the next one must know. Grows by one for each session that says
/// so: as long as a run of the suite lasts, and no longer.
static LEVELS: LazyLock<Mutex<HashMap<SessionId, LoggingLevel>>> = LazyLock::new(Mutex::default);

pub(super) fn tools() -> impl Iterator<Item = Tool> {
    let all = [
        ("test_missing_capability", "needs a client that samples"),
        ("test_trigger_tool_change", "changes the list of tools"),
        ("test_trigger_prompt_change", "changes the list of prompts"),
    ];
    all.into_iter().map(|(name, words)| tool(name, words, json!({ "type": "object" })))
}

/// Tells everybody who listens.
pub(super) fn tell(change: Change) -> CallToolResponse {
    // Whether anybody does is not its business.
    CHANGES.send(change).ok();
    text("Changed.")
}

/// Tells one subscription of every change that it wants to hear of.
pub(super) async fn follow(subscription: &SubscriptionContext) {
    let mut changes = CHANGES.subscribe();
    loop {
        // What a subscription did not ask for its sink refuses.
        match changes.recv().await {
            Ok(Change::Tools) => subscription.sink().notify_tool_list_changed().await.ok(),
            Ok(Change::Prompts) => subscription.sink().notify_prompt_list_changed().await.ok(),
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            Err(broadcast::error::RecvError::Closed) => return,
        };
    }
}

/// From which level on a session wants to be logged to.
pub(super) fn level(session: SessionId) -> LoggingLevel {
    LEVELS.lock().get(&session).copied().unwrap_or(LoggingLevel::Debug)
}

pub(super) fn set_level(session: SessionId, level: LoggingLevel) {
    LEVELS.lock().insert(session, level);
}
