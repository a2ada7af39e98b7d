//! What the streams of all HTTP sessions keep together, in bytes: of what nobody has read, and apart from it of what somebody has, so
//! that the second never takes the place of the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of streams that were not read whole. Beyond it a stream keeps its last message alone, and a session that asks for more loses
/// what it has not read.
const UNREAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of streams that were. One that finds no place among them is not kept.
const READ_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Clones count together.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Sums>);

#[derive(Default)]
struct Sums {
    unread: AtomicUsize,
    read: AtomicUsize,
}

/// What one stream keeps.
pub(super) struct Share {
    kept: Kept,
    bytes: usize,
    is_read: bool,
}

impl Kept {
    /// Whether streams keep all that they may of what was not read.
    pub(super) fn is_full(&self) -> bool {
        self.0.unread.load(Ordering::Relaxed) > UNREAD_BYTES_MAX
    }
}

impl Share {
    pub(super) fn new(kept: Kept) -> Self {
        Self { kept, bytes: 0, is_read: false }
    }

    /// So much more.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.sum().fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much less.
    pub(super) fn give_up(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.sum().fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether it is too much for one stream that may keep `bytes_max`, or for all of them.
    pub(super) fn is_over(&self, bytes_max: usize) -> bool {
        self.bytes > bytes_max || self.kept.is_full()
    }

    /// All of it was read; whether there is a place for it still.
    pub(super) fn was_read(&mut self) -> bool {
        self.sum().fetch_sub(self.bytes, Ordering::Relaxed);
        self.is_read = true;
        self.sum().fetch_add(self.bytes, Ordering::Relaxed) + self.bytes <= READ_BYTES_MAX
    }

    fn sum(&self) -> &AtomicUsize {
        if self.is_read { &self.kept.0.read } else { &self.kept.0.unread }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_up(self.bytes);
    }
}
