//! The only place that asks what time it is. Everything else is told, once per event, so that tests can move time by hand.
#![expect(clippy::disallowed_methods, reason = "this is the clock")]

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
pub use tokio::time::Instant;

/// The monotonic time; virtual when a test has paused tokio's clock.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock.
pub fn utc_now() -> UtcMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UtcMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// One moment on both clocks: with it, times of the monotonic clock are told as times of day.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// On the monotonic clock.
    pub now: Instant,
    /// On the wall clock.
    pub utc: UtcMillis,
}

impl Moment {
    /// This moment.
    pub fn read() -> Self {
        Self { now: now(), utc: utc_now() }
    }

    /// What the wall clock showed, or will show, at `at`.
    pub fn utc_of(&self, at: Instant) -> UtcMillis {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let ahead = millis(at.saturating_duration_since(self.now));
        let ago = millis(self.now.saturating_duration_since(at));
        UtcMillis(self.utc.0.saturating_add(ahead).saturating_sub(ago))
    }
}

/// A moment as milliseconds since 1970-01-01T00:00:00Z, the form in which every table keeps time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcMillis(pub i64);

impl fmt::Display for UtcMillis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}
