//! A database that does not answer at all lets each read wait for as long as a read may. Once one has waited in vain, one watch
//! pings it; while no ping comes back, everyone else is refused at once. What fails promptly needs none of this.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Store;

/// A failure, or a ping, that takes this long has nothing to do with the question.
pub(super) const IN_VAIN_AFTER: Duration = Duration::from_secs(1);
/// The wait between two pings.
const PING_EVERY: Duration = Duration::from_millis(500);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Silence {
    watched: AtomicBool,
    silent: AtomicBool,
}

impl Silence {
    /// Whether nobody is to wait for the database.
    pub(super) fn is_known(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// A read has waited in vain.
    pub(super) fn suspect(&self, store: &Store) {
        if !self.watched.swap(true, Ordering::Relaxed) {
            tokio::spawn(watch(store.clone()));
        }
    }
}

/// The one watch. Where its runtime ends, so does it, and the next read finds out by itself.
struct Watch<'a>(&'a Silence);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.silent.store(false, Ordering::Relaxed);
        self.0.watched.store(false, Ordering::Relaxed);
    }
}

async fn watch(store: Store) {
    let watch = Watch(&store.silence);
    loop {
        let mut ping = pin!(store.ping());
        if tokio::time::timeout(IN_VAIN_AFTER, &mut ping).await.is_ok() {
            return;
        }
        watch.0.silent.store(true, Ordering::Relaxed);
        if ping.await.is_ok() {
            return;
        }
        tokio::time::sleep(PING_EVERY).await;
    }
}
