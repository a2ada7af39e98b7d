//! How the outcome of a call gets to a client over HTTP: on its way while a connection reads, and free for who asks the same again
//! while none does.

use std::sync::Arc;

use exai_actors::dispatcher::messages::Follower;
use exai_actors::session::messages::Delivered;
use parking_lot::Mutex;

/// How an outcome gets to its client.
#[derive(Default)]
pub(super) struct Way {
    /// Connections on which it is read.
    pub(super) attending: usize,
    pub(super) delivered: Option<Delivered>,
    /// The place among those who follow the call. While nobody reads, the answer is on its way to nobody: it goes to who asks the same
    /// again, though it can still be resumed.
    pub(super) follower: Option<Follower>,
}

/// One connection on which a stream is read, or is about to be.
pub(super) struct Attending(pub(super) Arc<Mutex<Way>>);

impl Drop for Attending {
    fn drop(&mut self) {
        let mut way = self.0.lock();
        way.attending -= 1;
        if way.attending == 0 {
            way.follower = None;
        }
    }
}

/// The last message as the outcome of a call.
pub(super) struct Arrival {
    /// Hears when it was written whole.
    pub(super) delivered: Delivered,
    /// Its client's place among those who follow the call.
    pub(super) follower: Option<Follower>,
}
