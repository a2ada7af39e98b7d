//! Permits as values: whoever holds one may run, and dropping it gives it back. One thread shares them, so there is no lock; what
//! is decided is decided by [`Admission`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::{Admission, Decision, Limits, Place, Scopes};
use super::messages::PermitGauge;

/// Hands out permits; clones share them. It outlives the dispatcher's restarts.
#[derive(Debug, Clone)]
pub struct Permits {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Debug)]
struct Shared {
    admission: Admission,
    waiters: HashMap<Place, oneshot::Sender<Permit>>,
}

/// Leave to run in every scope of a call.
#[derive(Debug)]
pub struct Permit {
    scopes: Scopes,
    permits: Permits,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPermit {
    /// Too many calls wait already.
    Full,
    /// None came free in time.
    TimedOut,
}

/// What [`Permits::request`] gives.
#[derive(Debug)]
pub enum Requested {
    /// Go.
    Now(Permit),
    /// Wait for it.
    Later(Waiting),
}

/// A place in the queue. Dropping it leaves the queue.
#[derive(Debug)]
pub struct Waiting {
    place: Place,
    permits: Permits,
    admitted: oneshot::Receiver<Permit>,
}

impl Permits {
    /// All limits whole.
    pub fn new(limits: Limits) -> Self {
        let shared = Shared { admission: Admission::new(limits), waiters: HashMap::new() };
        Self { shared: Rc::new(RefCell::new(shared)) }
    }

    /// Asks for a permit in all scopes at once.
    pub fn request(&self, scopes: Scopes) -> Result<Requested, NoPermit> {
        let mut shared = self.shared.borrow_mut();
        match shared.admission.request(&scopes) {
            Decision::Go => Ok(Requested::Now(Permit { scopes, permits: self.clone() })),
            Decision::Full => Err(NoPermit::Full),
            Decision::Wait(place) => {
                let (sender, admitted) = oneshot::channel();
                shared.waiters.insert(place, sender);
                Ok(Requested::Later(Waiting { place, permits: self.clone(), admitted }))
            }
        }
    }

    /// Calls that hold permits, and calls that wait.
    pub fn load(&self) -> (usize, usize) {
        let shared = self.shared.borrow();
        (shared.admission.running(), shared.admission.waiting())
    }

    /// Every named limit.
    pub fn gauges(&self) -> Vec<PermitGauge> {
        self.shared.borrow().admission.gauges()
    }

    /// How many calls may run or wait in all.
    pub fn calls_max(&self) -> usize {
        let admission = &self.shared.borrow().admission;
        admission.global() + admission.waiting_max()
    }

    /// Puts other limits in force; who runs runs on.
    pub fn set_limits(&self, limits: Limits) {
        self.hand_out(|admission| admission.set_limits(limits));
    }

    fn give_back(&self, scopes: &Scopes) {
        self.hand_out(|admission| admission.release(scopes));
    }

    fn hand_out(&self, admitted: impl FnOnce(&mut Admission) -> Vec<(Place, Scopes)>) {
        let admitted: Vec<_> = {
            let mut shared = self.shared.borrow_mut();
            let admitted = admitted(&mut shared.admission);
            admitted.into_iter().map(|(place, scopes)| (shared.waiters.remove(&place), scopes)).collect()
        };
        for (waiter, scopes) in admitted {
            let permit = Permit { scopes, permits: self.clone() };
            // A waiter that has just gone gives its permit back by dropping it.
            if let Some(waiter) = waiter {
                let _ = waiter.send(permit);
            }
        }
    }
}

impl Waiting {
    /// Waits for the permit, at most `within`.
    pub async fn permit(mut self, within: Duration) -> Result<Permit, NoPermit> {
        match tokio::time::timeout(within, &mut self.admitted).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(NoPermit::TimedOut),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut shared = self.permits.shared.borrow_mut();
        shared.admission.leave(self.place);
        shared.waiters.remove(&self.place);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.give_back(&self.scopes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConversationId, ProviderName, SessionId};

    fn permits(global: usize) -> Permits {
        let per_provider = [(ProviderName::from("kimi"), 8)].into();
        Permits::new(Limits { global, per_session: 8, per_conversation: 1, per_provider })
    }

    fn scopes() -> Scopes {
        Scopes {
            session: SessionId::mint(),
            conversation: ConversationId::mint(),
            provider: ProviderName::from("kimi"),
        }
    }

    fn now(permits: &Permits) -> Permit {
        match permits.request(scopes()) {
            Ok(Requested::Now(permit)) => permit,
            other => panic!("{other:?}"),
        }
    }

    fn later(permits: &Permits) -> Waiting {
        match permits.request(scopes()) {
            Ok(Requested::Later(waiting)) => waiting,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_permit_goes_to_the_first_who_waits() {
        let permits = permits(1);
        let held = now(&permits);
        let first = later(&permits);
        let second = later(&permits);
        drop(held);
        let held = first.permit(Duration::from_secs(1)).await.expect("the first goes");
        assert_eq!(second.permit(Duration::from_secs(30)).await.err(), Some(NoPermit::TimedOut));
        drop(held);
        assert_eq!(permits.load(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_at_the_very_moment_gives_back() {
        let permits = permits(1);
        let held = now(&permits);
        let gone = later(&permits);
        let patient = later(&permits);
        drop(held);
        // `gone` has been sent its permit and never took it.
        drop(gone);
        assert!(patient.permit(Duration::from_secs(1)).await.is_ok());
        assert_eq!(permits.load(), (0, 0));
        assert!(permits.gauges().iter().all(|gauge| gauge.in_use == 0));
    }
}
