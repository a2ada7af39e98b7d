//! The actor.

use actix::{Actor, Addr, ArbiterHandle, Context, Handler, MessageResult, Supervised};

use super::ledger::Ledger;
use super::messages::{BreakerMoved, CallEnded, GetSnapshot, SessionEnded, SessionOpened, UpstreamEnded};
use crate::faults::{self, Point};
use crate::supervised::{self, Death, Intensity, Start};

/// Facts that may wait to be counted.
const MAILBOX: usize = 16 * 1024;

/// Counts. A restart keeps the sums as they were before the fact that killed it: a ledger takes a fact whole or not at all.
#[derive(Debug, Default)]
pub struct Metrics {
    ledger: Ledger,
}

impl Metrics {
    /// Starts it. It is restarted however often it dies, and `on_death` only notes it.
    pub fn start(arbiter: &ArbiterHandle, on_death: impl Fn(Death) + Send + 'static) -> Addr<Self> {
        let intensity = Intensity { restarts_max: u32::MAX, ..Intensity::default() };
        supervised::start(Start { name: "metrics", arbiter, mailbox: MAILBOX, intensity }, on_death, |_| {
            Self::default()
        })
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;
}

impl Supervised for Metrics {
    fn restarting(&mut self, _: &mut Context<Self>) {}
}

impl Handler<CallEnded> for Metrics {
    type Result = ();

    fn handle(&mut self, fact: CallEnded, _: &mut Context<Self>) {
        faults::point(Point::Metrics);
        self.ledger.call_ended(&fact);
    }
}

impl Handler<UpstreamEnded> for Metrics {
    type Result = ();

    fn handle(&mut self, fact: UpstreamEnded, _: &mut Context<Self>) {
        self.ledger.upstream_ended(&fact);
    }
}

impl Handler<BreakerMoved> for Metrics {
    type Result = ();

    fn handle(&mut self, fact: BreakerMoved, _: &mut Context<Self>) {
        self.ledger.breaker_moved(&fact);
    }
}

impl Handler<SessionOpened> for Metrics {
    type Result = ();

    fn handle(&mut self, _: SessionOpened, _: &mut Context<Self>) {
        self.ledger.session_opened();
    }
}

impl Handler<SessionEnded> for Metrics {
    type Result = ();

    fn handle(&mut self, _: SessionEnded, _: &mut Context<Self>) {
        self.ledger.session_ended();
    }
}

impl Handler<GetSnapshot> for Metrics {
    type Result = MessageResult<GetSnapshot>;

    fn handle(&mut self, _: GetSnapshot, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.ledger.snapshot())
    }
}
