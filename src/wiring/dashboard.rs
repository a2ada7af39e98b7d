//! The live picture and what else the dashboard's routes work with.

use std::sync::Arc;

use exai_actors::feed::{self, Sources};
use exai_actors::tools::Parts;

use crate::config::Config;
use crate::mcp::sessions::Sessions;
use crate::routes::Panel;
use crate::unix;

/// Starts looking, on this thread.
pub(super) fn start(config: &Config, inside: &Parts) -> Panel {
    let sessions = Sessions::default();
    let open = sessions.clone();
    let watched = feed::watch(Sources {
        dispatcher: inside.dispatcher.clone(),
        metrics: inside.metrics.clone(),
        supervisors: inside.supervisors.clone(),
        board: inside.about.board.clone(),
        store: inside.store.clone(),
        outside: Box::new(move || {
            open.seen().into_iter().map(|(id, seen)| (format!("session/{id}"), seen)).collect()
        }),
        memory_bytes: unix::memory_bytes,
    });
    Panel {
        watched,
        store: inside.store.clone(),
        dispatcher: inside.dispatcher.clone(),
        sessions,
        config: Arc::new(config.in_force()),
    }
}
