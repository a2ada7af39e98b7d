//! The story of a call: pick the model, get the permits, write the journal, load the thread, stream, commit, answer. One linear
//! task; it ends early when it is cancelled or out of time, and whatever it holds gives itself back when it is dropped.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::actor::draining;
use super::alternatives::{name_alternative, tell_wait};
use super::attempt::{Attempt, Heard, Outcome};
use super::desk::Desk;
use super::ending::tell_end;
use super::journal::Journal;
use super::messages::{Answer, Caller, Phase, Progress, Question};
use super::permits::{NoPermit, Permit, Requested, Waiting};
use super::plan::{ASK_WITHIN, Plan};
use super::refusals::{NOT_SENT, lost, no_permit, restarting};
use super::replay::{replay, replay_call};
use super::retry;
use super::roster::Answering;
use super::stop::must_end;
use crate::clock::{self, Instant};
use crate::error::{CallError, ErrorKind};
use crate::faults::{self, Point};
use crate::ids::CallId;
use crate::mail;
use crate::meter::{self, Counter};
use crate::provider::messages::Completion;
use crate::provider_supervisor::messages::{BreakerState, MayGo, TakeTicket, Ticket};
use crate::storage_writer::messages::Written;
use crate::trail::Trail;

/// One call, from its question to its answer.
pub(super) struct Consultation {
    desk: Rc<Desk>,
    request: Request,
    progress: watch::Sender<Progress>,
    journal: Journal,
    answering: Answering,
    deadline: Instant,
    /// The request that is on its way. It is kept here, so that a call that must end still learns what it had.
    attempt: Option<Attempt>,
}

/// What was asked, by whom and when.
pub(super) struct Request {
    pub(super) call: CallId,
    pub(super) caller: Caller,
    pub(super) question: Question,
    pub(super) request_hash: String,
    pub(super) asked: Instant,
}

/// What asking gave.
enum Asked {
    /// A model answered; still to be committed.
    Completed(Box<Completed>),
    /// The journal already had the answer.
    Replayed(Box<Answer>),
}

/// All that one upstream request needs.
struct Leave {
    plan: Plan,
    permit: Permit,
    ticket: Ticket,
}

/// An answer and how it came about.
pub(super) struct Completed {
    pub(super) plan: Plan,
    pub(super) completion: Completion,
    pub(super) breaker: BreakerState,
    pub(super) queued: Duration,
    /// Held until the turns are stored, so that the conversation's next question sees them.
    _permit: Permit,
}

impl Consultation {
    pub(super) fn new(
        desk: Rc<Desk>,
        request: Request,
        progress: watch::Sender<Progress>,
        journal: Journal,
        answering: Answering,
    ) -> Self {
        let deadline = request.asked + desk.setup.deadline;
        Self { desk, request, progress, journal, answering, deadline, attempt: None }
    }

    /// Runs the call to its one answer.
    pub(super) async fn run(mut self, cancel: CancellationToken) -> Answer {
        let desk = Rc::clone(&self.desk);
        let deadline = self.deadline;
        let asked = tokio::select! {
            biased;
            end = must_end(&desk, &cancel, deadline) => Err(end),
            asked = self.consult() => asked,
        };
        let answer = match asked {
            Ok(Asked::Replayed(answer)) => *answer,
            Ok(Asked::Completed(completed)) => {
                self.phase(Phase::Committing);
                self.journal.commit_answer(&self.request, *completed).await
            }
            Err(error) => {
                let error = self.stop_attempt(error).await;
                Err(self.journal.commit_failure(error).await)
            }
        };
        self.tell_end(&answer);
        answer
    }

    async fn consult(&mut self) -> Result<Asked, CallError> {
        let mut plan = Plan::make(&self.desk, &self.request).await?;
        self.answering.model.replace(Some((plan.model.provider.clone(), plan.model.id.clone())));
        self.journal.planned(&plan);
        let mut queued = Duration::ZERO;
        let requested = self.desk.permits.request(plan.scopes(&self.request.caller)).map_err(no_permit)?;
        let permit = match requested {
            Requested::Now(permit) => permit,
            Requested::Later(waiting) => {
                // A call that would be refused anyway is not made to wait for it.
                self.may_go(&plan).await?;
                if self.desk.setup.queue_wait.is_zero() {
                    return Err(no_permit(NoPermit::TimedOut));
                }
                let written = self.journal.accept(&self.request, &plan).await?;
                if let Some(replayed) = self.replayed(written).await {
                    return Ok(replayed);
                }
                self.phase(Phase::Waiting);
                let waited_since = clock::now();
                let permit = self.wait(waiting).await?;
                queued = clock::now() - waited_since;
                // The turn that it waited for may have been this conversation's own.
                plan = plan.renew(&self.desk, &self.request).await?;
                permit
            }
        };
        faults::point(Point::Consultation);
        let ticket = self.take_ticket(&plan, 1).await?;
        self.ask_model(Leave { plan, permit, ticket }, queued).await
    }

    /// The one retry loop: each request has a ticket and a row of its own before its first byte leaves, and what waits to be sent
    /// again holds no permit.
    async fn ask_model(&mut self, mut leave: Leave, queued: Duration) -> Result<Asked, CallError> {
        if self.desk.draining.is_cancelled() {
            return Err(draining(NOT_SENT));
        }
        let mut made = 0;
        loop {
            let Leave { plan, permit, ticket } = leave;
            let written = self.journal.dispatch(&self.request, &plan).await?;
            if let Some(replayed) = self.replayed(written).await {
                return Ok(replayed);
            }
            made += 1;
            self.phase(Phase::Dispatched);
            let breaker = ticket.breaker;
            let failure = match self.attempt(ticket, &plan).await? {
                Ok(completion) => {
                    let completed = Completed { plan, completion, breaker, queued, _permit: permit };
                    return Ok(Asked::Completed(Box::new(completed)));
                }
                Err(failure) => failure,
            };
            drop(permit);
            let time_left = self.deadline.saturating_duration_since(clock::now());
            let wait = retry::wait_before_next(&failure, made, time_left, fastrand::f64());
            let (model, reason) = (Arc::clone(&plan.model), failure.class);
            let error = self.journal.attempt_failed(failure);
            let Some(wait) = wait else { return Err(tell_wait(&self.desk, &model, error).await) };
            self.phase(Phase::Retrying);
            // Its end is written now, for the wait may be long; the call stays open.
            self.journal.close_attempt().await;
            leave = match self.leave_again(plan, made + 1, wait).await {
                Some(leave) => leave,
                None => return Err(tell_wait(&self.desk, &model, error).await),
            };
            meter::add(Counter::Retries, &[model.provider.as_str(), reason.as_str()], 1);
        }
    }

    /// Waits, and then has everything that one more request needs; none when it must not be made: the server drains, the time is
    /// up, every place stays taken, or the provider is to be left alone. A rate gate is waited for.
    async fn leave_again(&self, mut plan: Plan, attempt: u32, mut wait: Duration) -> Option<Leave> {
        loop {
            tokio::select! {
                biased;
                () = self.desk.draining.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
            let permit = match self.desk.permits.request(plan.scopes(&self.request.caller)).ok()? {
                Requested::Now(permit) => permit,
                Requested::Later(waiting) => self.wait(waiting).await.ok()?,
            };
            // Others may have spoken in the conversation meanwhile.
            plan = plan.renew(&self.desk, &self.request).await.ok()?;
            let refusal = match self.take_ticket(&plan, attempt).await {
                Ok(_) if self.desk.draining.is_cancelled() => return None,
                Ok(ticket) => return Some(Leave { plan, permit, ticket }),
                Err(refusal) => refusal,
            };
            let told = refusal.retry_after_ms.map(Duration::from_millis)?;
            wait = retry::staggered(told, fastrand::f64());
            if refusal.kind != ErrorKind::RateLimited || clock::now() + wait >= self.deadline {
                return None;
            }
        }
    }

    /// Waits for permits; a drain ends the waiting, for nothing is sent any more.
    async fn wait(&self, waiting: Waiting) -> Result<Permit, CallError> {
        tokio::select! {
            biased;
            () = self.desk.draining.cancelled() => Err(draining(NOT_SENT)),
            permit = waiting.permit(self.desk.setup.queue_wait) => permit.map_err(no_permit),
        }
    }

    /// Refused as a ticket would be, at once, and nothing is taken.
    async fn may_go(&self, plan: &Plan) -> Result<(), CallError> {
        let supervisor = &self.desk.link(&plan.model.provider)?.supervisor;
        let wanted = MayGo { model: plan.model.id.clone() };
        match mail::ask(supervisor, wanted, ASK_WITHIN).await.map_err(restarting)? {
            Ok(()) => Ok(()),
            Err(refusal) => Err(name_alternative(&self.desk, &plan.model, refusal).await),
        }
    }

    async fn take_ticket(&self, plan: &Plan, attempt: u32) -> Result<Ticket, CallError> {
        let supervisor = &self.desk.link(&plan.model.provider)?.supervisor;
        let wanted = TakeTicket { model: plan.model.id.clone(), attempt, trail: Trail::current() };
        match mail::ask(supervisor, wanted, ASK_WITHIN).await.map_err(restarting)? {
            Ok(ticket) => Ok(ticket),
            Err(refusal) => Err(name_alternative(&self.desk, &plan.model, refusal).await),
        }
    }

    /// The answer that the journal has already, if it was not this call that was written.
    async fn replayed(&self, written: Written) -> Option<Asked> {
        let (store, owner) = (&self.desk.setup.store, &self.request.caller.principal);
        let answer = if let Written::Undelivered(call) = written {
            replay_call(store, owner, call).await
        } else if let Written::DuplicateKey = written {
            replay(store, &self.request).await
        } else {
            return None;
        };
        Some(Asked::Replayed(Box::new(answer)))
    }

    /// Makes one upstream request, and tells its progress.
    async fn attempt(&mut self, ticket: Ticket, plan: &Plan) -> Result<Outcome, CallError> {
        let prompt = plan.prompt(&self.request.question);
        let attempt = Attempt::start(ticket, self.request.call, prompt).map_err(restarting)?;
        self.answering.provider.replace(Some(attempt.provider()));
        let attempt = self.attempt.insert(attempt);
        let outcome = loop {
            match attempt.hear().await {
                Heard::Ended(outcome) => break outcome,
                Heard::Progress(upstream) => {
                    self.progress.send_replace(Progress::told(upstream, self.request.asked));
                    if attempt.streams_since_a_while() {
                        self.journal.streaming();
                    }
                }
            }
        };
        if let Some(attempt) = self.attempt.take() {
            attempt.settle(outcome.as_ref());
        }
        outcome.ok_or_else(lost)
    }

    /// Ends the request that is on its way when its call must end.
    async fn stop_attempt(&mut self, end: CallError) -> CallError {
        let Some(attempt) = self.attempt.take() else { return end };
        match attempt.stop().await {
            Some(had) => self.journal.attempt_stopped(had, end),
            None => end,
        }
    }

    fn phase(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
    }

    fn tell_end(&self, answer: &Answer) {
        let asked_model = self.answering.model.borrow().clone();
        self.desk.ended.push(&self.request, asked_model, answer);
        tell_end(&self.journal, &self.request.question.tool, self.request.asked, answer);
    }
}
