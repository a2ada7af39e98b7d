//! A thread's own tick: it hands in once a second, and measures how late it was woken.

use std::time::Duration;

use tokio::sync::mpsc;

use super::local::{Delta, hand_in, tie};
use crate::clock;

/// How often a thread hands in.
pub const TICK: Duration = Duration::from_secs(1);
/// Deltas that may wait to be merged: a minute of 64 threads. Where there is no room, a thread keeps what it has.
pub const DELTAS_MAX: usize = 4096;

/// Has this thread hand in what it counts from now on. A thread hands in to one place for as long as it lives; a second call does
/// nothing. Needs the thread's event loop.
pub fn attach(thread: &'static str, sink: &mpsc::Sender<Delta>) {
    if tie(thread, sink) {
        actix::spawn(run());
    }
}

async fn run() {
    loop {
        let due = clock::now() + TICK;
        tokio::time::sleep_until(due).await;
        if !hand_in(clock::now().saturating_duration_since(due)) {
            return;
        }
    }
}
