//! How often one address may guess a token. Pure: time is an argument. Only guesses count: who presents the same wrong token again
//! has learnt nothing from the first refusal, and an old token in one program must not lock its neighbours out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use exai_actors::clock::Instant;

use crate::mcp::rate::Bucket;

/// Different wrong tokens that an address may present at once.
const BURST: u32 = 10;
/// And so many a second in the long run: one in six seconds.
const PER_SECOND: f64 = 1.0 / 6.0;
/// Wrong tokens that are remembered of an address.
const KNOWN_MAX: usize = 4;
/// Addresses that are remembered. What comes from further ones counts together.
const ADDRESSES_MAX: usize = 4096;
/// How long an address is remembered: its bucket is full again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Whoever presented wrong tokens lately.
#[derive(Default)]
pub(super) struct Throttle {
    by_ip: HashMap<IpAddr, Guesser>,
}

struct Guesser {
    bucket: Bucket,
    last: Instant,
    blocked_until: Option<Instant>,
    known: Vec<[u8; 32]>,
}

/// What a wrong token was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    /// One that was presented before.
    Known,
    /// One more guess.
    New,
    /// The last one for now.
    Last,
}

impl Throttle {
    /// Refuses an address that guessed too often, and says when it may come back.
    pub(super) fn may(&self, ip: IpAddr, now: Instant) -> Result<(), Duration> {
        let until = self.by_ip.get(&self.place(ip)).and_then(|guesser| guesser.blocked_until);
        match until {
            Some(until) if until > now => Err(until.duration_since(now)),
            Some(_) | None => Ok(()),
        }
    }

    /// Notes a wrong token by its digest.
    pub(super) fn failed(&mut self, ip: IpAddr, digest: [u8; 32], now: Instant) -> Guess {
        self.make_room(now);
        let place = self.place(ip);
        let guesser = self.by_ip.entry(place).or_insert_with(|| Guesser {
            bucket: Bucket::new(BURST, PER_SECOND, now),
            last: now,
            blocked_until: None,
            known: Vec::new(),
        });
        guesser.last = now;
        if guesser.known.contains(&digest) {
            return Guess::Known;
        }
        if guesser.known.len() == KNOWN_MAX {
            guesser.known.remove(0);
        }
        guesser.known.push(digest);
        match guesser.bucket.take(now) {
            Ok(()) => Guess::New,
            Err(wait) => {
                guesser.blocked_until = Some(now + wait);
                Guess::Last
            }
        }
    }

    fn place(&self, ip: IpAddr) -> IpAddr {
        let place = network(ip);
        let has_room = self.by_ip.len() < ADDRESSES_MAX || self.by_ip.contains_key(&place);
        if has_room { place } else { Ipv6Addr::UNSPECIFIED.into() }
    }

    fn make_room(&mut self, now: Instant) {
        if self.by_ip.len() >= ADDRESSES_MAX {
            self.by_ip.retain(|_, guesser| now.duration_since(guesser.last) < FORGOTTEN_AFTER);
        }
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.by_ip.len()
    }
}

/// One customer of a provider has a whole /64 (RFC 6177): its addresses count together.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use exai_actors::clock;

    use super::*;

    fn digest(number: u32) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn guesses_end_and_come_back_with_time() {
        let (mut throttle, start) = (Throttle::default(), clock::now());
        let ip = IpAddr::from([192, 0, 2, 1]);
        let guesses = (0..11).map(|number| throttle.failed(ip, digest(number), start)).collect::<Vec<_>>();
        assert!(guesses[..10].iter().all(|guess| *guess == Guess::New));
        assert_eq!(guesses[10], Guess::Last);
        assert!(throttle.may(ip, start).is_err_and(|wait| wait <= Duration::from_secs(6)));
        assert_eq!(throttle.may(IpAddr::from([192, 0, 2, 2]), start), Ok(()), "a neighbour");
        assert_eq!(throttle.may(ip, start + Duration::from_secs(7)), Ok(()));
    }

    #[test]
    fn the_same_wrong_token_is_one_guess() {
        let (mut throttle, start) = (Throttle::default(), clock::now());
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(throttle.failed(ip, digest(0), start), Guess::New);
        assert!((0..1000).all(|_| throttle.failed(ip, digest(0), start) == Guess::Known));
        assert_eq!(throttle.may(ip, start), Ok(()));
    }

    #[test]
    fn memory_has_an_end_and_a_flood_of_addresses_counts_together() {
        let (mut throttle, start) = (Throttle::default(), clock::now());
        for number in 0..20_000u32 {
            throttle.failed(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), digest(number), start);
        }
        assert!(throttle.addresses() <= ADDRESSES_MAX + 1, "{}", throttle.addresses());
        assert!(throttle.may(IpAddr::from([203, 0, 113, 1]), start).is_err(), "one too many");
        throttle.failed(IpAddr::from([203, 0, 113, 1]), digest(0), start + FORGOTTEN_AFTER);
        assert_eq!(throttle.addresses(), 1);
    }
}
