//! Whether a provider takes calls of this account at all: a wrong key or a used-up quota parks it as a whole. Pure.

use std::time::Duration;

use super::messages::ParkReason;
use crate::clock::Instant;

/// A parked provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parked {
    pub(super) reason: ParkReason,
    pub(super) since: Instant,
    /// When it is tried again; none until the operator resets it or gives it another key.
    pub(super) until: Option<Instant>,
}

/// When a call went: what it says of the account counts while the account is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParkPass(u64);

/// The place where one provider may be parked.
#[derive(Debug, Clone, Default)]
pub(super) struct Parking {
    parked: Option<Parked>,
    /// Moves each time that it is taken out.
    generation: u64,
}

impl Parking {
    /// The parked provider, if it is.
    pub(super) fn parked(&mut self, now: Instant) -> Option<Parked> {
        if self.parked.and_then(|parked| parked.until).is_some_and(|until| until <= now) {
            self.take_out();
        }
        self.parked
    }

    /// What a call that goes now carries.
    pub(super) fn pass(&self) -> ParkPass {
        ParkPass(self.generation)
    }

    /// A call came back with this. A wait that is not stated, and any wait for a better key, has no end.
    pub(super) fn park(
        &mut self,
        pass: ParkPass,
        reason: ParkReason,
        stated: Option<Duration>,
        now: Instant,
    ) {
        let before = self.parked(now);
        if pass != self.pass() {
            return;
        }
        let until = match reason {
            ParkReason::Key => None,
            ParkReason::Quota => stated.map(|wait| now + wait),
        };
        self.parked = Some(match before {
            None => Parked { reason, since: now, until },
            Some(before @ Parked { until: None, .. }) => before,
            Some(Parked { since, until: Some(sooner), .. }) => {
                Parked { reason, since, until: until.map(|until| until.max(sooner)) }
            }
        });
    }

    /// Lets calls go again; what those that went before say of the account is out of date.
    pub(super) fn take_out(&mut self) {
        self.parked = None;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_key_parks_without_end_and_a_quota_until_it_is_whole() {
        let now = clock::now();
        let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
        let mut parking = Parking::default();
        let early = parking.pass();
        parking.park(early, ParkReason::Quota, Some(hour), now);
        parking.park(early, ParkReason::Quota, Some(hour / 2), now);
        let parked = Parked { reason: ParkReason::Quota, since: now, until: Some(now + hour) };
        assert_eq!(parking.parked(now), Some(parked));
        assert_eq!(parking.parked(now + hour), None);
        // One that went before the quota was whole again says nothing new.
        parking.park(early, ParkReason::Quota, None, now + hour);
        assert_eq!(parking.parked(now + hour), None);

        let pass = parking.pass();
        parking.park(pass, ParkReason::Quota, Some(hour), now);
        parking.park(pass, ParkReason::Key, Some(hour), now);
        parking.park(pass, ParkReason::Quota, Some(hour), now);
        let parked = Parked { reason: ParkReason::Key, since: now, until: None };
        assert_eq!(parking.parked(now + day), Some(parked));
        parking.take_out();
        parking.park(pass, ParkReason::Key, None, now);
        assert_eq!(parking.parked(now), None);
    }
}
