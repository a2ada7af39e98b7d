//! The actor.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, Handler, ResponseActFuture,
    Supervised, WrapFuture,
};
use tokio::sync::{mpsc, watch};

use super::flushing::{Flushing, Pace};
use super::ledger::Ledger;
use super::messages::{BreakerMoved, Flush};
use super::snapshot::Snapshot;
use super::windows::Shaped;
use crate::clock;
use crate::faults::{self, Point};
use crate::meter::{self, DELTAS_MAX, Delta};
use crate::storage_writer::messages::{Record, WriteError, Written};
use crate::supervised::{self, Death, Intensity, Knock, Start};

/// Messages that may wait: moves of breakers, and the last flush.
const MAILBOX: usize = 1024;
/// How often what the threads handed in is merged and published. They hand in once a second; a sum is public soon after that.
const COLLECT_EVERY: Duration = Duration::from_millis(250);

/// Merges, publishes and stores. A restart keeps the sums: a delta is merged whole or is still in its channel.
pub struct Metrics {
    kept: Kept,
}

/// What outlives a death.
#[derive(Clone)]
struct Kept {
    ledger: Rc<RefCell<Ledger>>,
    pace: Rc<RefCell<Pace>>,
    deltas: Rc<RefCell<mpsc::Receiver<Delta>>>,
    published: Rc<watch::Sender<Arc<Snapshot>>>,
    flushing: Option<Flushing>,
}

/// What the actor is started with.
pub struct Wiring<'a> {
    /// The thread that it lives on.
    pub arbiter: &'a ArbiterHandle,
    /// Where the sums are stored; nowhere without it.
    pub flushing: Option<Flushing>,
}

/// How the running actor is reached.
#[derive(Clone)]
pub struct Handles {
    /// Its mailbox.
    pub address: Addr<Metrics>,
    /// Where threads hand in, for [`crate::meter::attach`].
    pub deltas: mpsc::Sender<Delta>,
    /// The sums as they were last published.
    pub published: watch::Receiver<Arc<Snapshot>>,
}

/// Starts it. It is restarted however often it dies, and `on_death` only notes it.
pub fn start(wiring: Wiring<'_>, on_death: impl Fn(Death) + Send + 'static) -> Handles {
    let Wiring { arbiter, flushing } = wiring;
    let intensity = Intensity { restarts_max: u32::MAX, ..Intensity::default() };
    let (deltas, received) = mpsc::channel(DELTAS_MAX);
    let (publish, published) = watch::channel(Arc::default());
    let start = Start { name: "metrics", arbiter, mailbox: MAILBOX, intensity };
    let address = supervised::start(start, on_death, move |_| Metrics {
        kept: Kept {
            ledger: Rc::default(),
            pace: Rc::default(),
            deltas: Rc::new(RefCell::new(received)),
            published: Rc::new(publish),
            flushing,
        },
    });
    Handles { address, deltas, published }
}

impl Metrics {
    fn collect(&mut self) {
        let mut deltas = self.kept.deltas.borrow_mut();
        let mut news = false;
        while !deltas.is_empty() {
            faults::point(Point::Metrics);
            let Ok(delta) = deltas.try_recv() else { break };
            self.kept.ledger.borrow_mut().merge(delta, clock::utc_now());
            news = true;
        }
        if news {
            self.publish();
        }
    }

    fn publish(&self) {
        self.kept.published.send_replace(self.kept.ledger.borrow_mut().snapshot(clock::utc_now()));
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        self.collect();
        if self.kept.pace.borrow().is_due(clock::now()) {
            context.spawn(self.flush());
        }
    }

    /// Hands one batch to the writer. Whatever becomes of this life, the sums that are not known to stand are sent again.
    fn flush(&mut self) -> ResponseActFuture<Self, ()> {
        let Some(Flushing { writer, life, memory_bytes, .. }) = self.kept.flushing.clone() else {
            return Box::pin(std::future::ready(()).into_actor(self));
        };
        let now = clock::utc_now();
        let rows = {
            let mut ledger = self.kept.ledger.borrow_mut();
            ledger.windows.note(Shaped::Memory, memory_bytes(), now);
            let gone = ledger.windows.bound();
            ledger.dropped("rollup_rows", gone, now);
            ledger.windows.rows(&life.id)
        };
        let batch = self.kept.pace.borrow_mut().batch(life, rows, now);
        let write = async move {
            crate::storage_writer::write(&writer, Record::MetricsFlushed(Arc::new(batch))).await
        };
        Box::pin(write.into_actor(self).map(|outcome, metrics: &mut Self, _| metrics.flushed(outcome)))
    }

    fn flushed(&mut self, outcome: Result<Written, WriteError>) {
        let Some(Flushing { every, .. }) = self.kept.flushing else { return };
        let now = clock::utc_now();
        if outcome.is_ok() {
            self.kept.ledger.borrow_mut().windows.confirm(now);
        }
        let outcome = outcome.map(drop).map_err(|error| error.to_string());
        if let Err(error) = &outcome {
            log::warn!("the sums were not stored and are kept: {error}");
        }
        self.kept.pace.borrow_mut().ended(outcome, clock::now(), now, every);
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if let Some(flushing) = &self.kept.flushing {
            self.kept.pace.borrow_mut().begin(clock::now(), flushing.every);
        }
        context.run_interval(COLLECT_EVERY, Self::tick);
    }
}

impl Supervised for Metrics {
    fn restarting(&mut self, _: &mut Context<Self>) {
        let kept = self.kept.clone();
        // A flush that was under way ended with the life before; nobody hears what became of it.
        if let Some(flushing) = kept.flushing.as_ref().filter(|_| kept.pace.borrow().is_in_flight()) {
            let lost = Err("the flush was cut off by a restart".to_owned());
            kept.pace.borrow_mut().ended(lost, clock::now(), clock::utc_now(), flushing.every);
        }
        *self = Self { kept };
    }
}

impl Handler<Knock> for Metrics {
    type Result = ();

    fn handle(&mut self, _: Knock, _: &mut Context<Self>) {}
}

impl Handler<BreakerMoved> for Metrics {
    type Result = ();

    fn handle(&mut self, fact: BreakerMoved, _: &mut Context<Self>) {
        self.kept.ledger.borrow_mut().breaker_moved(&fact, clock::utc_now());
        self.publish();
    }
}

impl Handler<Flush> for Metrics {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) -> Self::Result {
        // This thread is the one that calls are counted on; the others hand in when they end.
        meter::hand_in(Duration::ZERO);
        self.collect();
        self.flush()
    }
}
