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
/// How long these are kept.
const READ_KEPT_FOR: Duration = Duration::from_secs(60);
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
        self.by_id.retain(|id, log| *id == GENERAL || !log.is_done(READ_KEPT_FOR, now));
        // Those first that somebody has read. What runs is bounded by the edge.
        for (is_read, ended_max) in [(true, READ_MAX), (false, UNREAD_MAX)] {
            let is_over = |id: u64, log: &Log| id != GENERAL && log.has_ended() && log.is_read() == is_read;
            let over = self.by_id.iter().filter(|(id, log)| is_over(**id, log)).map(|(id, _)| *id);
            let over = over.collect::<Vec<_>>();
            let ended_max = if self.kept.is_full() { 0 } else { ended_max };
            for id in over.iter().take(over.len().saturating_sub(ended_max)) {
                self.by_id.remove(id);
            }
        }
        self.last += 1;
        let log = Log::new(self.last, self.kept.clone());
        self.by_id.insert(self.last, log.clone());
        log
    }

    /// A stream by its number.
    pub(super) fn get(&self, id: u64) -> Option<Log> {
        self.by_id.get(&id).cloned()
    }

    /// Whether nobody reads any of them.
    pub(super) fn are_idle(&self) -> bool {
        self.by_id.values().all(Log::is_idle)
    }
}
