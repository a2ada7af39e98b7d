//! Who comes over HTTP: sessions of the eras that have them, and what is known between the requests of the era that has none. Both
//! are capped, and end when nothing came for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use exai_actors::clock::{self, Instant};
use exai_actors::ids::{Principal, SessionId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::stream::Log;
use super::transport::Incoming;
use crate::mcp::edge::Limits;
use crate::mcp::monitor::Monitor;
use crate::mcp::rate::Bucket;

/// Finished streams that a session keeps for clients that have not read them whole.
const UNREAD_MAX: usize = 32;
/// Random bytes of a session's name.
const KEY_BYTES: usize = 32;

/// All of them; clones share them. One lock for all worker threads, held for a lookup: a request must not wait for a mailbox.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// How many there may be, of either sort.
    pub sessions_max: usize,
    /// How long one lives of which nothing is heard or wanted.
    pub idle: Duration,
    pub(super) known: Arc<Mutex<Known>>,
}

#[derive(Default)]
pub(super) struct Known {
    pub(super) by_key: HashMap<String, Arc<Session>>,
    pub(super) visitors: HashMap<(Principal, String), Arc<Session>>,
}

/// One of them.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) principal: Principal,
    pub(super) monitor: Monitor,
    /// To the engine of a session; a visitor has one for every request.
    pub(super) inbound: Option<mpsc::Sender<Incoming>>,
    /// Requests without an answer.
    pub(super) in_flight: watch::Sender<usize>,
    pub(super) end: CancellationToken,
    pub(super) seen: Mutex<Seen>,
}

/// What came over one, and what goes out.
pub(super) struct Seen {
    pub(super) since: Instant,
    pub(super) at: Instant,
    pub(super) messages_in: i64,
    last: u64,
    logs: BTreeMap<u64, Log>,
    calls: Bucket,
    others: Bucket,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { sessions_max: 1000, idle: Duration::from_secs(1800), known: Arc::default() }
    }
}

impl Sessions {
    /// Whether one more finds a place, after the idlest has left where that is needed and can be.
    pub(super) fn has_room(&self) -> bool {
        let known = self.known.lock();
        let all = || known.by_key.values().chain(known.visitors.values());
        if all().count() < self.sessions_max {
            return true;
        }
        let idlest = all().filter(|one| one.is_idle()).min_by_key(|one| one.seen.lock().at);
        if let Some(idlest) = idlest {
            idlest.end.cancel();
        }
        // It leaves in a moment; until then there may be one too many.
        idlest.is_some() && all().filter(|one| !one.end.is_cancelled()).count() < self.sessions_max
    }

    /// A session of this principal.
    pub(super) fn find(&self, key: &str, principal: &Principal) -> Option<Arc<Session>> {
        let known = self.known.lock();
        let session = known.by_key.get(key).filter(|session| session.principal == *principal);
        session.filter(|session| !session.end.is_cancelled()).map(Arc::clone)
    }

    /// Lives until it is ended or was idle for long enough.
    pub(super) async fn outlive(&self, session: &Session) {
        loop {
            let left = self.idle.saturating_sub(clock::now().duration_since(session.seen.lock().at));
            if left.is_zero() && session.is_idle() {
                return;
            }
            tokio::select! {
                () = session.end.cancelled() => return,
                () = tokio::time::sleep(left.max(self.idle / 10)) => {}
            }
        }
    }
}

impl Session {
    pub(super) fn new(
        principal: Principal,
        monitor: Monitor,
        limits: Limits,
        inbound: Option<mpsc::Sender<Incoming>>,
    ) -> Self {
        let now = clock::now();
        let bucket = || Bucket::new(limits.requests_burst, limits.requests_per_second, now);
        let logs = BTreeMap::from([(0, Log::new(0))]);
        let seen =
            Seen { since: now, at: now, messages_in: 0, last: 0, logs, calls: bucket(), others: bucket() };
        Self {
            id: SessionId::mint(),
            principal,
            monitor,
            inbound,
            in_flight: watch::Sender::new(0),
            end: CancellationToken::new(),
            seen: Mutex::new(seen),
        }
    }

    /// Notes that a message came.
    pub(super) fn heard(&self, bytes: usize) {
        self.monitor.message_in(bytes);
        let mut seen = self.seen.lock();
        seen.at = clock::now();
        seen.messages_in += 1;
    }

    /// Takes a request's place in the rate of a visitor.
    pub(super) fn rate(&self, is_call: bool) -> Result<(), Duration> {
        let (now, mut seen) = (clock::now(), self.seen.lock());
        if is_call { seen.calls.take(now) } else { seen.others.take(now) }
    }

    /// A stream for the answer of one request.
    pub(super) fn stream(&self) -> Log {
        let mut seen = self.seen.lock();
        seen.logs.retain(|id, log| *id == 0 || !log.is_done());
        // Behind these nobody came back; what runs is bounded by the edge.
        let unread = seen.logs.iter().filter(|(id, log)| **id != 0 && log.has_ended());
        let unread = unread.map(|(id, _)| *id).collect::<Vec<_>>();
        for id in unread.iter().take(unread.len().saturating_sub(UNREAD_MAX)) {
            seen.logs.remove(id);
        }
        seen.last += 1;
        let log = Log::new(seen.last);
        let last = seen.last;
        seen.logs.insert(last, log.clone());
        log
    }

    /// A stream by its number; 0 is that of messages that belong to no request.
    pub(super) fn log(&self, id: u64) -> Option<Log> {
        self.seen.lock().logs.get(&id).cloned()
    }

    fn is_idle(&self) -> bool {
        let seen = self.seen.lock();
        *self.in_flight.borrow() == 0 && seen.logs.values().all(Log::is_idle)
    }
}

/// A name that nobody guesses.
pub(super) fn mint_key() -> Option<String> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
