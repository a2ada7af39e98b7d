//! Browsers that have logged in: the token is shown once, and what comes back is a cookie that names a session here and nothing else. Bounded,
//! and every session ends; a restart ends all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use exai_actors::clock::Instant;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::digest;

/// The cookie's name.
pub(crate) const COOKIE: &str = "exai_browser";
/// How long a login lasts.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Logins at the same time; the oldest makes room.
const LOGINS_MAX: usize = 256;
/// Random bytes of a session: 256 bits.
const RANDOM_BYTES: usize = 32;

/// The logged-in browsers with the token of each; clones share them. What is kept are digests, so that nothing in memory opens the
/// door, and a token that opens less, or nothing any more, does so for its browsers too.
#[derive(Clone, Default)]
pub(crate) struct Browsers {
    logins: Arc<Mutex<HashMap<[u8; 32], Login>>>,
}

struct Login {
    held: Held,
    /// However a login ends, what it opened hears of it.
    _ends: DropGuard,
}

/// A login that has not ended.
#[derive(Clone)]
pub(crate) struct Held {
    /// The digest of the token behind it.
    pub(crate) token: [u8; 32],
    /// When it ends by itself.
    pub(super) until: Instant,
    /// Cancelled when it ends before.
    pub(super) ended: CancellationToken,
}

impl Browsers {
    /// Logs a browser in with a token that is one of ours; the secret that its cookie holds. None where the system has no randomness.
    pub(crate) fn enter(&self, token: &str, now: Instant) -> Option<String> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).ok()?;
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random);
        let mut logins = self.logins.lock();
        logins.retain(|_, login| login.held.until > now);
        if logins.len() >= LOGINS_MAX
            && let Some(oldest) = logins.iter().min_by_key(|(_, login)| login.held.until).map(|(key, _)| *key)
        {
            logins.remove(&oldest);
        }
        let ended = CancellationToken::new();
        let held = Held { token: digest(token), until: now + LASTS, ended: ended.clone() };
        logins.insert(digest(&secret), Login { held, _ends: ended.drop_guard() });
        Some(secret)
    }

    /// The login with this secret, where it has not ended.
    pub(crate) fn held(&self, secret: &str, now: Instant) -> Option<Held> {
        let logins = self.logins.lock();
        logins.get(&digest(secret)).filter(|login| login.held.until > now).map(|login| login.held.clone())
    }

    /// Logs a browser out: its sockets close.
    pub(crate) fn leave(&self, secret: &str) {
        self.logins.lock().remove(&digest(secret));
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
        let knows = |browsers: &Browsers, secret: &str, now| {
            browsers.held(secret, now).is_some_and(|held| held.token == digest("token"))
        };
        let (browsers, now) = (Browsers::default(), clock::now());
        let first = browsers.enter("token", now).unwrap();
        let opened_first = browsers.held(&first, now).unwrap().ended;
        assert!(knows(&browsers, &first, now) && !knows(&browsers, "guessed", now));
        assert!(!knows(&browsers, &first, now + LASTS), "it ends");
        for later in 1..=300 {
            browsers.enter("token", now + Duration::from_secs(later)).unwrap();
        }
        assert_eq!(browsers.logins.lock().len(), LOGINS_MAX);
        assert!(!knows(&browsers, &first, now + Duration::from_secs(300)), "the oldest made room");
        assert!(opened_first.is_cancelled());
        let last = browsers.enter("token", now).unwrap();
        let opened_last = browsers.held(&last, now).unwrap().ended;
        assert!(!opened_last.is_cancelled());
        browsers.leave(&last);
        assert!(!knows(&browsers, &last, now) && opened_last.is_cancelled());
    }
}
