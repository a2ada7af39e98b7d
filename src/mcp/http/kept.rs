//! What the streams of all HTTP sessions keep together, in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all streams keep. Beyond it a stream keeps its last message alone, and a session that asks for more loses what it has
/// not read.
const ALL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that streams keep; clones count together.
#[derive(Clone, Default)]
pub(super) struct Kept(pub(super) Arc<AtomicUsize>);

impl Kept {
    /// Whether streams keep all that they may.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) > ALL_BYTES_MAX
    }
}
