//! How the outcome of a call gets to a client over HTTP: on its way while a connection reads, and free for who asks the same again
//! while none does.

use std::sync::{Arc, Weak};

use exai_actors::session::messages::Delivered;
use parking_lot::Mutex;

use crate::mcp::delivery::Seat;

/// Who reads the stream of one answer; clones know the same ones. A lock of its own, as the engine's thread and those of connections
/// come to it, each for a few instructions.
#[derive(Clone, Default)]
pub(in crate::mcp) struct Readers(Arc<Mutex<Way>>);

/// How an outcome gets to its client.
#[derive(Default)]
struct Way {
    /// Connections on which it is read.
    attending: usize,
    delivered: Option<Delivered>,
    /// The client's place among those who follow the call. While nobody reads, the answer is on its way to nobody: it goes to who asks
    /// the same again, though it can still be resumed.
    seat: Weak<Seat>,
    /// Holds the place once the call has ended, until its outcome has arrived.
    arriving: Option<Arc<Seat>>,
}

/// One connection on which a stream is read, or is about to be.
pub(super) struct Attending(Readers);

impl Drop for Attending {
    fn drop(&mut self) {
        let mut way = self.0.0.lock();
        way.attending -= 1;
        if way.attending == 0
            && let Some(seat) = way.seat.upgrade()
        {
            seat.leave();
        }
    }
}

/// The last message as the outcome of a call.
pub(super) struct Arrival {
    /// Hears when it was written whole.
    pub(super) delivered: Delivered,
    /// Its client's place among those who follow the call.
    pub(super) seat: Option<Arc<Seat>>,
}

impl Readers {
    /// A connection takes the stream.
    pub(super) fn attend(&self) -> Attending {
        let mut way = self.0.lock();
        way.attending += 1;
        if way.attending == 1
            && let Some(seat) = way.seat.upgrade()
        {
            seat.take();
        }
        Attending(self.clone())
    }

    /// A place among those who follow the call that this stream is for: it counts while somebody reads.
    pub(in crate::mcp) fn keep(&self, seat: &Arc<Seat>) {
        let mut way = self.0.lock();
        way.seat = Arc::downgrade(seat);
        if way.attending == 0 {
            seat.leave();
        }
    }

    /// The outcome is on its way.
    pub(super) fn expect(&self, Arrival { delivered, seat }: Arrival) {
        let mut way = self.0.lock();
        (way.delivered, way.arriving) = (Some(delivered), seat);
    }

    /// It was written whole.
    pub(super) fn has_arrived(&self) {
        let (delivered, seat) = {
            let mut way = self.0.lock();
            (way.delivered.take(), way.arriving.take())
        };
        if let Some(delivered) = delivered {
            delivered();
        }
        // In this order: who asks the same again from here on must find the answer delivered.
        drop(seat);
    }
}
