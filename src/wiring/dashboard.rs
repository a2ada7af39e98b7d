//! The live picture and what else the dashboard's routes work with.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Addr;
use exai_actors::dispatcher::Dispatcher;
use exai_actors::feed::{self, Sources};
use exai_actors::health::HealthBoard;
use exai_actors::ids::ProviderName;
use exai_actors::metrics::Metrics;
use exai_actors::provider_supervisor::ProviderSupervisor;
use exai_actors::storage::Store;

use crate::config::Config;
use crate::mcp::sessions::Sessions;
use crate::routes::Panel;
use crate::unix;

/// Who is looked at.
pub(super) struct Inside<'a> {
    pub(super) dispatcher: &'a Addr<Dispatcher>,
    pub(super) metrics: &'a Addr<Metrics>,
    pub(super) supervisors: &'a BTreeMap<ProviderName, Addr<ProviderSupervisor>>,
    pub(super) store: &'a Store,
    pub(super) board: &'a HealthBoard,
}

/// Starts looking, on this thread.
pub(super) fn start(config: &Config, inside: Inside<'_>) -> Panel {
    let sessions = Sessions::default();
    let open = sessions.clone();
    let watched = feed::watch(Sources {
        dispatcher: inside.dispatcher.clone(),
        metrics: inside.metrics.clone(),
        supervisors: inside.supervisors.clone(),
        board: inside.board.clone(),
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
