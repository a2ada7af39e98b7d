//! The live picture and what else the dashboard's routes work with.

use actix::Addr;
use exai_actors::dispatcher::messages::Load;
use exai_actors::feed::{self, Sources};
use exai_actors::storage_writer::StorageWriter;
use exai_actors::tools::Parts;
use tokio::sync::watch;

use crate::config::Config;
use crate::mcp::sessions::OpenSessions;
use crate::routes::{self, Panel};
use crate::trial::Trials;

/// Starts looking, on this thread.
pub(super) fn start(
    config: &Config,
    inside: &Parts,
    load: watch::Receiver<Load>,
    writer: Addr<StorageWriter>,
) -> Panel {
    let sessions = OpenSessions::default();
    let open = sessions.clone();
    let watched = feed::watch(Sources {
        dispatcher: inside.dispatcher.clone(),
        load,
        metrics: inside.metrics.clone(),
        supervisors: inside.supervisors.clone(),
        board: inside.about.board.clone(),
        store: inside.store.clone(),
        outside: Box::new(move || {
            open.seen().into_iter().map(|(id, seen)| (format!("session/{id}"), seen)).collect()
        }),
        memory_bytes: || routes::resident_bytes().unwrap_or_default(),
    });
    Panel {
        watched,
        store: inside.store.clone(),
        writer,
        dispatcher: inside.dispatcher.clone(),
        sessions,
        trials: Trials::new(config.storage.state_folder.clone()),
    }
}
