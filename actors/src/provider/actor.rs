//! The actor: takes calls, owns their tasks, and is restarted without touching them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Supervised, WrapFuture};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::call::{self, Folding};
use super::client::Pool;
use super::dialect::Dialect;
use super::endpoint::Endpoint;
use super::fold::Fold;
use super::listing::{self, Listings};
use super::messages::{GetPartial, StartUpstreamCall};
use crate::faults::{self, Point};
use crate::ids::CallId;
use crate::supervised::{self, Death, Intensity, Knock, Start};

/// How many messages may wait for a provider: far more than the permits that lead here, so a full mailbox is a defect.
const MAILBOX: usize = 1024;

/// How long an upstream may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From sending to the first byte of the body.
    pub first_byte: Duration,
    /// Between two reads.
    pub idle: Duration,
}

impl Timeouts {
    /// The defaults of a dialect.
    pub fn of(dialect: Dialect) -> Self {
        Self { first_byte: dialect.silence_max(), idle: dialect.silence_max() }
    }
}

/// What a provider is born with.
#[derive(Debug, Clone)]
pub struct ProviderStart {
    /// Host, base URL and key.
    pub endpoint: Arc<Endpoint>,
    /// What it speaks.
    pub dialect: Dialect,
    /// How long it may be silent.
    pub timeouts: Timeouts,
    /// Where the tasks of its calls are counted. They outlive the actor.
    pub tasks: TaskTracker,
    /// Where it says which models the provider lists; none where nobody asks.
    pub listings: Option<watch::Sender<Listings>>,
}

/// Starts a provider on `arbiter`, restarted when it panics.
pub fn start(
    arbiter: &ArbiterHandle,
    born: ProviderStart,
    on_death: impl Fn(Death) + Send + 'static,
) -> Addr<Provider> {
    let how = Start { name: "provider", arbiter, mailbox: MAILBOX, intensity: Intensity::default() };
    supervised::start(how, on_death, |_| Provider::new(Kept { born, running: Running::default() }))
}

/// One connection to one provider.
pub struct Provider {
    line: Line,
    kept: Kept,
}

/// What goes from life to life.
#[derive(Clone)]
struct Kept {
    born: ProviderStart,
    running: Running,
}

/// The running calls, for whoever asks what they have so far.
type Running = Rc<RefCell<HashMap<CallId, Folding>>>;

/// What the task of a call needs of its provider.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) pool: Pool,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) dialect: Dialect,
    pub(super) timeouts: Timeouts,
}

impl Provider {
    fn new(kept: Kept) -> Self {
        let ProviderStart { endpoint, dialect, timeouts, tasks: _, listings: _ } = kept.born.clone();
        Self { line: Line { pool: Pool::new(), endpoint, dialect, timeouts }, kept }
    }
}

impl Actor for Provider {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if let Some(told) = &self.kept.born.listings {
            // It goes with this life; the next one asks anew.
            context.spawn(listing::keep(self.line.clone(), told.clone()).into_actor(self));
        }
    }
}

impl Supervised for Provider {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::new(self.kept.clone());
    }
}

impl Handler<Knock> for Provider {
    type Result = ();

    fn handle(&mut self, _: Knock, _: &mut Context<Self>) {}
}

impl Handler<StartUpstreamCall> for Provider {
    type Result = ();

    fn handle(&mut self, ask: StartUpstreamCall, _: &mut Context<Self>) {
        faults::point(Point::Provider);
        let call = ask.call;
        let fold = Fold::new(self.line.dialect, ask.prompt.output_tokens_max);
        let folding = Rc::new(RefCell::new(fold));
        let listed = Listed::new(&self.kept.running, call, &folding);
        let line = self.line.clone();
        self.kept.born.tasks.spawn_local(ask.trail.follow(async move {
            let _listed = listed;
            call::run(line, ask, folding).await;
        }));
    }
}

impl Handler<GetPartial> for Provider {
    type Result = Option<String>;

    fn handle(&mut self, ask: GetPartial, _: &mut Context<Self>) -> Option<String> {
        let running = self.kept.running.borrow();
        let folding = running.get(&ask.call)?;
        let fold = folding.borrow();
        Some(fold.text().to_owned())
    }
}

/// A running call's place on the list, for as long as its task lives.
struct Listed {
    running: Running,
    call: CallId,
    folding: Folding,
}

impl Listed {
    fn new(running: &Running, call: CallId, folding: &Folding) -> Self {
        running.borrow_mut().insert(call, Rc::clone(folding));
        Self { running: Rc::clone(running), call, folding: Rc::clone(folding) }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // Borrowed by nobody: tasks and handlers take turns on one thread. A panic here would end the process.
        let Ok(mut running) = self.running.try_borrow_mut() else { return };
        // A later attempt of the same call has its own entry.
        if running.get(&self.call).is_some_and(|listed| Rc::ptr_eq(listed, &self.folding)) {
            running.remove(&self.call);
        }
    }
}
