//! Browsers that have logged in: the token is shown once, and what comes back is a cookie that names a session here and nothing else. Bounded,
//! and every session ends; a restart ends all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use exai_actors::clock::Instant;
use parking_lot::Mutex;

use super::digest;

/// The cookie's name.
pub(crate) const COOKIE: &str = "exai_browser";
/// How long a login lasts.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Logins at the same time; the oldest makes room.
const LOGINS_MAX: usize = 256;
/// Random bytes of a session: 256 bits.
const RANDOM_BYTES: usize = 32;

/// The logged-in browsers; clones share them. What is kept is a digest, so that nothing in memory opens the door.
#[derive(Clone, Default)]
pub(crate) struct Browsers {
    until: Arc<Mutex<HashMap<[u8; 32], Instant>>>,
}

impl Browsers {
    /// Logs a browser in; the secret that its cookie holds. None where the system has no randomness.
    pub(crate) fn enter(&self, now: Instant) -> Option<String> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).ok()?;
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random);
        let mut until = self.until.lock();
        until.retain(|_, until| *until > now);
        if until.len() >= LOGINS_MAX
            && let Some(oldest) = until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
        {
            until.remove(&oldest);
        }
        until.insert(digest(&secret), now + LASTS);
        Some(secret)
    }

    /// Whether the secret is of a login that has not ended.
    pub(crate) fn knows(&self, secret: &str, now: Instant) -> bool {
        self.until.lock().get(&digest(secret)).is_some_and(|until| *until > now)
    }

    /// Logs a browser out.
    pub(crate) fn leave(&self, secret: &str) {
        self.until.lock().remove(&digest(secret));
    }

    /// How long a login lasts.
    pub(crate) fn lasts() -> Duration {
        LASTS
    }
}

#[cfg(test)]
mod tests {
    use exai_actors::clock;

    use super::*;

    #[test]
    fn logins_end_and_are_bounded() {
        let (browsers, now) = (Browsers::default(), clock::now());
        let first = browsers.enter(now).unwrap();
        assert!(browsers.knows(&first, now) && !browsers.knows("guessed", now));
        assert!(!browsers.knows(&first, now + LASTS), "it ends");
        for later in 1..=300 {
            browsers.enter(now + Duration::from_secs(later)).unwrap();
        }
        assert_eq!(browsers.until.lock().len(), LOGINS_MAX);
        assert!(!browsers.knows(&first, now + Duration::from_secs(300)), "the oldest made room");
        let last = browsers.enter(now).unwrap();
        browsers.leave(&last);
        assert!(!browsers.knows(&last, now));
    }
}
