//! Leave for one upstream call as a value: dropping it gives it back, so that no place is ever lost.

use actix::{Addr, Message};

use super::actor::ProviderSupervisor;
use super::circuit::Passes;
use super::messages::{BreakerState, Settled};
use crate::mail;
use crate::provider::Provider;
use crate::trail::Trail;

/// Leave to make one upstream call. Whoever holds it settles it with what became of the call; dropped unsettled it is given back
/// and counts as nothing.
#[derive(Debug)]
pub struct Ticket {
    /// Who makes it.
    pub provider: Addr<Provider>,
    /// The breaker's state in the caller's receipt.
    pub breaker: BreakerState,
    /// Until it is given back.
    slip: Option<Slip>,
}

/// Where a ticket goes back to, and what it stands for there.
#[derive(Debug)]
struct Slip {
    supervisor: Addr<ProviderSupervisor>,
    passes: Passes,
}

impl Ticket {
    pub(super) fn new(
        provider: Addr<Provider>,
        breaker: BreakerState,
        supervisor: Addr<ProviderSupervisor>,
        passes: Passes,
    ) -> Self {
        Self { provider, breaker, slip: Some(Slip { supervisor, passes }) }
    }

    /// Notes that the answer has begun to arrive.
    pub fn answering(&self) {
        if let Some(Slip { supervisor, passes }) = &self.slip {
            told(mail::tell(supervisor, Answering(passes.clone())));
        }
    }

    /// Gives the ticket back with what became of its call.
    pub fn settle(mut self, settled: Settled) {
        self.give_back(Some(settled));
    }

    fn give_back(&mut self, settled: Option<Settled>) {
        if let Some(Slip { supervisor, passes }) = self.slip.take() {
            told(mail::tell(&supervisor, Returned { passes, settled, trail: Trail::current() }));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back(None);
    }
}

/// A ticket's answer has begun to arrive.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Answering(pub(super) Passes);

/// A ticket came back.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Returned {
    pub(super) passes: Passes,
    /// What became of its call; none where nobody can say.
    pub(super) settled: Option<Settled>,
    /// The call's, for the log.
    pub(super) trail: Trail,
}

/// The mailbox is far larger than the calls that can run, and a supervisor that is gone needs no news.
fn told(sent: Result<(), mail::MailError>) {
    match sent {
        Ok(()) | Err(mail::MailError::Closed) => {}
        Err(error @ (mail::MailError::Full | mail::MailError::TimedOut)) => {
            log::error!(error:% = error; "a ticket did not reach its supervisor; its place is taken back in time");
        }
    }
}
