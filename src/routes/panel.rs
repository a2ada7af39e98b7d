//! What the dashboard's data routes work with, and the audit of what operators do.

use actix::Addr;
use actix_web::HttpRequest;
use exai_actors::dispatcher::Dispatcher;
use exai_actors::events::{self, Direction, Facts, Kind, Lot, Weight};
use exai_actors::feed::Watched;
use exai_actors::ids::{CallId, Principal};
use exai_actors::storage::Store;
use exai_actors::storage_writer::StorageWriter;

use crate::mcp::sessions::OpenSessions;
use crate::trial::Trials;

/// What the data routes work with.
#[derive(Clone)]
pub(crate) struct Panel {
    /// The live picture.
    pub(crate) watched: Watched,
    /// Reads of history.
    pub(crate) store: Store,
    /// Who writes what operators note.
    pub(crate) writer: Addr<StorageWriter>,
    /// Who ends calls.
    pub(crate) dispatcher: Addr<Dispatcher>,
    /// Who is connected.
    pub(crate) sessions: OpenSessions,
    /// Who runs the operator's test.
    pub(crate) trials: Trials,
}

impl Panel {
    /// Notes what an operator does, in the log and, for good, in the table `events`.
    pub(super) fn audit(
        &self,
        (request, operator): (&HttpRequest, &Principal),
        what: &'static str,
        on: &str,
        call: Option<CallId>,
    ) {
        let peer = request.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
        // What is acted on is an id, or it was refused before.
        log::warn!(operator:%, what, on, peer = peer.as_str(); "an operator acts");
        let lot = Lot {
            kind: Kind::Server,
            direction: Direction::In,
            outcome: what.into(),
            weight: Weight::Lasting,
        };
        events::note(lot, || Facts { peer: peer.into(), call, ..Facts::default() });
    }
}
