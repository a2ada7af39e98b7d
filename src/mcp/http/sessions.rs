//! Who comes over HTTP: sessions of the eras that have them, and what is known between the requests of the era that has none. Both
//! are capped, and end when nothing came for a while.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use exai_actors::clock::{self, Instant};
use exai_actors::ids::{Principal, SessionId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use super::stream::Log;
use super::streams::{READ_KEPT_FOR, Streams};
use super::transport::Incoming;
use crate::mcp::edge::Limits;
use crate::mcp::monitor::Monitor;
use crate::mcp::rate::Bucket;

/// Random bytes of a session's name.
const KEY_BYTES: usize = 32;
/// How a session ended: its client said so, it was idle for too long, it gave way to another one, or its token was revoked. A server that leaves ends it with
/// 1001 (RFC 6455 7.4.1: a session over HTTP ends as one over WebSocket would).
pub(super) const CLOSED: u16 = 1000;
pub(super) const REVOKED: u16 = 1008;
const IDLE: u16 = 1008;
const GAVE_WAY: u16 = 1013;

/// All of them; clones share them. One lock for all worker threads, held for a lookup: a request must not wait for a mailbox.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// How many there may be, of either sort.
    pub sessions_max: usize,
    /// How long one lives of which nothing is heard or wanted.
    pub idle: Duration,
    /// WebSockets that one principal may open at once.
    pub upgrades_burst: u32,
    /// WebSockets that it may open a second in the long run.
    pub upgrades_per_second: f64,
    pub(super) known: Arc<Mutex<Known>>,
    /// What all their streams keep together.
    kept: Kept,
}

#[derive(Default)]
pub(super) struct Known {
    pub(super) by_key: HashMap<String, Arc<Session>>,
    pub(super) visitors: HashMap<Visitor, Arc<Session>>,
    /// The rates of those who ask without a session; as many as there are tokens, whatever their clients call themselves.
    rates: HashMap<Principal, Rates>,
}

/// What one principal may ask without a session: calls, everything else, sessions over HTTP, WebSockets.
struct Rates {
    calls: Bucket,
    others: Bucket,
    openings: Bucket,
    upgrades: Bucket,
}

/// A principal, and what its client calls itself.
pub(super) type Visitor = (Principal, String);

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
    ended_as: OnceLock<u16>,
    kept: Kept,
    /// Locked for a few instructions: each request of a session comes on whichever worker thread took its connection.
    pub(super) seen: Mutex<Seen>,
}

/// What came over one, and what goes out.
pub(super) struct Seen {
    pub(super) since: Instant,
    pub(super) at: Instant,
    pub(super) messages_in: i64,
    streams: Streams,
}

impl Sessions {
    /// None yet, of a server that has so many connections at most.
    pub(crate) fn new(connections_max: usize) -> Self {
        Self {
            sessions_max: 1000,
            idle: Duration::from_secs(1800),
            // All that there may be come back at once after a restart, and again if that goes wrong.
            upgrades_burst: u32::try_from(connections_max.saturating_mul(3)).unwrap_or(u32::MAX),
            upgrades_per_second: 100.0,
            known: Arc::default(),
            kept: Kept::default(),
        }
    }

    /// Opens a session under its name, if it finds a place.
    pub(super) fn open(
        &self,
        key: &str,
        principal: &Principal,
        make: impl FnOnce(Kept) -> Session,
    ) -> Option<Arc<Session>> {
        let mut known = self.known.lock();
        if !known.make_room(self.sessions_max, principal) {
            return None;
        }
        let session = Arc::new(make(self.kept.clone()));
        known.by_key.insert(key.to_owned(), Arc::clone(&session));
        Some(session)
    }

    /// What is known of a visitor, and whether that is nothing yet; none if it finds no place.
    pub(super) fn visit(
        &self,
        visitor: &Visitor,
        make: impl FnOnce(Kept) -> Session,
    ) -> Option<(Arc<Session>, bool)> {
        let mut known = self.known.lock();
        if let Some(session) = known.visitors.get(visitor).filter(|session| !session.end.is_cancelled()) {
            return Some((Arc::clone(session), false));
        }
        known.visitors.remove(visitor);
        if !known.make_room(self.sessions_max, &visitor.0) {
            return None;
        }
        let session = Arc::new(make(self.kept.clone()));
        known.visitors.insert(visitor.clone(), Arc::clone(&session));
        Some((session, true))
    }

    /// Takes a place in the rate of a principal that asks without a session, or sends what nobody can read.
    pub(super) fn rate(&self, principal: &Principal, limits: Limits, is_call: bool) -> Result<(), Duration> {
        let now = clock::now();
        let mut known = self.known.lock();
        let rates = self.rates(&mut known, principal, limits, now);
        if is_call { rates.calls.take(now) } else { rates.others.take(now) }
    }

    /// Takes a place in the rate at which a principal opens sessions: each has rates of its own, and a row.
    pub(super) fn may_open(&self, principal: &Principal, limits: Limits) -> Result<(), Duration> {
        let now = clock::now();
        self.rates(&mut self.known.lock(), principal, limits, now).openings.take(now)
    }

    /// Takes a place in the rate at which a principal opens WebSockets: each of them may have a row, too.
    pub(in crate::mcp) fn may_upgrade(&self, principal: &Principal, limits: Limits) -> Result<(), Duration> {
        let now = clock::now();
        self.rates(&mut self.known.lock(), principal, limits, now).upgrades.take(now)
    }

    fn rates<'a>(
        &self,
        known: &'a mut Known,
        principal: &Principal,
        limits: Limits,
        now: Instant,
    ) -> &'a mut Rates {
        let bucket = || Bucket::new(limits.requests_burst, limits.requests_per_second, now);
        let fresh = || Rates {
            calls: bucket(),
            others: bucket(),
            openings: bucket(),
            upgrades: Bucket::new(self.upgrades_burst, self.upgrades_per_second, now),
        };
        known.rates.entry(principal.clone()).or_insert_with(fresh)
    }

    /// A session of this principal.
    pub(super) fn find(&self, key: &str, principal: &Principal) -> Option<Arc<Session>> {
        let known = self.known.lock();
        let session = known.by_key.get(key).filter(|session| session.principal == *principal);
        session.filter(|session| !session.end.is_cancelled()).map(Arc::clone)
    }

    /// Lives until it is ended or was idle for long enough. What it has read goes before, though nothing is asked of it.
    pub(super) async fn outlive(&self, session: &Session) {
        loop {
            let left = self.idle.saturating_sub(clock::now().duration_since(session.seen.lock().at));
            if left.is_zero() && session.is_idle() {
                session.end_as(IDLE);
                return;
            }
            tokio::select! {
                () = session.end.cancelled() => return,
                () = tokio::time::sleep(left.max(self.idle / 10).min(READ_KEPT_FOR)) => {}
            }
            session.seen.lock().streams.forget(clock::now());
        }
    }
}

impl Known {
    /// Whether there is room for one more of this principal, after an idle one has left where that is needed and can be: the idlest
    /// of the principal that has the most, and none of one that has fewer than who asks.
    fn make_room(&mut self, sessions_max: usize, principal: &Principal) -> bool {
        if self.by_key.len() + self.visitors.len() < sessions_max {
            return true;
        }
        let all = || self.by_key.values().chain(self.visitors.values());
        let mut held = HashMap::<&Principal, usize>::new();
        for one in all() {
            *held.entry(&one.principal).or_default() += 1;
        }
        let of = |principal: &Principal| held.get(principal).copied().unwrap_or_default();
        let may_go = |one: &&Arc<Session>| one.is_idle() && of(&one.principal) >= of(principal);
        let first = |one: &&Arc<Session>| (of(&one.principal), Reverse(one.seen.lock().at));
        let Some(idlest) = all().filter(may_go).max_by_key(first).map(Arc::clone) else { return false };
        idlest.end_as(GAVE_WAY);
        self.by_key.retain(|_, one| !Arc::ptr_eq(one, &idlest));
        self.visitors.retain(|_, one| !Arc::ptr_eq(one, &idlest));
        true
    }
}

impl Session {
    pub(super) fn new(
        principal: Principal,
        monitor: Monitor,
        inbound: Option<mpsc::Sender<Incoming>>,
        kept: Kept,
    ) -> Self {
        let now = clock::now();
        let seen = Seen { since: now, at: now, messages_in: 0, streams: Streams::new(kept.clone()) };
        Self {
            id: SessionId::mint(),
            principal,
            monitor,
            inbound,
            in_flight: watch::Sender::new(0),
            end: CancellationToken::new(),
            ended_as: OnceLock::new(),
            kept,
            seen: Mutex::new(seen),
        }
    }

    /// Ends it; how it ended is what was said first.
    pub(super) fn end_as(&self, code: u16) {
        self.ended_as.get_or_init(|| code);
        self.end.cancel();
    }

    /// How it ended, once it has.
    pub(super) fn code(&self) -> u16 {
        *self.ended_as.get().unwrap_or(&CLOSED)
    }

    /// A stream beside those that can be resumed.
    pub(super) fn passing(&self) -> Log {
        Log::new(1, self.kept.clone())
    }

    /// Notes that a message came.
    pub(super) fn heard(&self, bytes: usize) {
        self.monitor.message_in(bytes);
        let mut seen = self.seen.lock();
        seen.at = clock::now();
        seen.messages_in += 1;
    }

    /// A stream for the answer of one request.
    pub(super) fn stream(&self) -> Log {
        self.seen.lock().streams.open(clock::now())
    }

    /// A stream by its number; 0 is that of messages that belong to no request.
    pub(super) fn log(&self, id: u64) -> Option<Log> {
        self.seen.lock().streams.get(id)
    }

    fn is_idle(&self) -> bool {
        let seen = self.seen.lock();
        *self.in_flight.borrow() == 0 && seen.streams.are_idle()
    }
}

/// A name that nobody guesses.
pub(super) fn mint_key() -> Option<String> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
