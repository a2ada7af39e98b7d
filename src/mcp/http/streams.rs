//! The streams of one session: those that run, and the last of those that have ended, for clients that come back to them. Bounded.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use exai_actors::clock::Instant;

use super::kept::Kept;
use super::stream::Log;

/// Streams that have ended and are kept for clients that have not read them whole.
const UNREAD_MAX: usize = 32;
/// Those that are kept although they were written whole: what was written may have been lost on its way.
const READ_MAX: usize = 8;
/// How long these are kept, at least, and how often it is looked at; so at most twice that.
pub(super) const READ_KEPT_FOR: Duration = Duration::from_secs(60);
/// The stream of messages that belong to no request; it lives as long as its session.
const GENERAL: u64 = 0;

pub(super) struct Streams {
    kept: Kept,
    last: u64,
    by_id: BTreeMap<u64, Log>,
}

impl Streams {
    pub(super) fn new(kept: Kept) -> Self {
        let by_id = BTreeMap::from([(GENERAL, Log::new(GENERAL, kept.clone()))]);
        Self { kept, last: GENERAL, by_id }
    }

    /// One for the answer of another request; what has ended gives way to it.
    pub(super) fn open(&mut self, now: Instant) -> Log {
        self.forget(now);
        let unread_max = if self.kept.is_full() { 0 } else { UNREAD_MAX };
        // What runs is bounded by the edge.
        for (is_read, ended_max) in [(true, READ_MAX), (false, unread_max)] {
            let is_over = |id: u64, log: &Log| id != GENERAL && log.has_ended(is_read);
            let over = self.by_id.iter().filter(|(id, log)| is_over(**id, log)).map(|(id, _)| *id);
            let over = over.collect::<Vec<_>>();
            for id in over.iter().take(over.len().saturating_sub(ended_max)) {
                self.by_id.remove(id);
            }
        }
        self.last += 1;
        let log = Log::new(self.last, self.kept.clone());
        self.by_id.insert(self.last, log.clone());
        log
    }

    /// Gives up what nobody can have a use for any more.
    pub(super) fn forget(&mut self, now: Instant) {
        self.by_id.retain(|id, log| *id == GENERAL || !log.is_done(READ_KEPT_FOR, now));
    }

    /// A stream by its number.
    pub(super) fn get(&self, id: u64) -> Option<Log> {
        self.by_id.get(&id).filter(|log| !log.is_gone()).cloned()
    }

    /// Whether nobody reads any of them.
    pub(super) fn are_idle(&self) -> bool {
        self.by_id.values().all(Log::is_idle)
    }
}
