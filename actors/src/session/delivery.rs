//! Which answers have reached the peer. Behind each of them goes a ping with a number; a pong with that number, or with a later one
//! (RFC 6455 5.5.3 lets a peer answer only its newest ping), says that everything up to it was read. Pure.

use std::collections::VecDeque;

use super::messages::Delivered;

/// Answers that may wait for their pong; the oldest of more is given up as undelivered.
const WAITING_MAX: usize = 1024;

/// The answers of one session that wait for their pongs.
#[derive(Default)]
pub(super) struct Deliveries {
    last: u64,
    waiting: VecDeque<(u64, Delivered)>,
}

impl Deliveries {
    /// Notes an answer that was written; gives the payload of the ping behind it.
    pub(super) fn written(&mut self, delivered: Delivered) -> [u8; 8] {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.last += 1;
        self.waiting.push_back((self.last, delivered));
        self.last.to_be_bytes()
    }

    /// What a pong with this payload delivers, in order. Nothing for an empty one, which answers a heartbeat, and for one that was
    /// never asked for.
    pub(super) fn ponged(&mut self, payload: &[u8]) -> impl Iterator<Item = Delivered> {
        let number = payload.try_into().map_or(0, u64::from_be_bytes);
        let until = if number <= self.last { number } else { 0 };
        let count = self.waiting.partition_point(|(number, _)| *number <= until);
        self.waiting.drain(..count).map(|(_, delivered)| delivered)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn deliver(deliveries: &mut Deliveries, payload: &[u8]) {
        deliveries.ponged(payload).for_each(|delivered| delivered());
    }

    #[test]
    fn a_pong_delivers_everything_up_to_its_ping_once() {
        let (sender, delivered) = mpsc::channel();
        let mut deliveries = Deliveries::default();
        let pings = [1, 2, 3, 4].map(|answer| {
            let sender = sender.clone();
            deliveries.written(Box::new(move || sender.send(answer).unwrap()))
        });
        for nothing in [&[][..], &[1], &[0; 8], &99_u64.to_be_bytes(), &[0; 16]] {
            deliver(&mut deliveries, nothing);
        }
        assert_eq!(delivered.try_iter().count(), 0, "a heartbeat or a stranger's pong");
        deliver(&mut deliveries, &pings[2]);
        deliver(&mut deliveries, &pings[0]);
        assert_eq!(delivered.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
        deliver(&mut deliveries, &pings[3]);
        assert_eq!(delivered.try_iter().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_peer_that_never_pongs_costs_no_more_than_the_limit() {
        let held = Arc::new(());
        let mut deliveries = Deliveries::default();
        for _ in 0..2 * WAITING_MAX {
            let held = Arc::clone(&held);
            deliveries.written(Box::new(move || drop(held)));
        }
        assert_eq!(Arc::strong_count(&held), 1 + WAITING_MAX);
    }
}
