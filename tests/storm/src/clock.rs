//! The only place in this crate that asks what time it is.

pub(crate) use std::time::Instant;

/// A moment on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
