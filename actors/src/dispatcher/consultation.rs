//! The story of a call: pick the model, get the permits, write the journal, load the thread, stream, commit, answer. One linear
//! task; it ends early when it is cancelled or out of time, and whatever it holds gives itself back when it is dropped.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::actor::draining;
use super::alternatives::name_alternative;
use super::attempt::{Attempt, Heard, Outcome};
use super::desk::Desk;
use super::ending::tell_end;
use super::journal::Journal;
use super::messages::{Answer, Caller, Phase, Progress, Question};
use super::permits::{NoPermit, Permit, Requested, Waiting};
use super::plan::{ASK_WITHIN, Plan};
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
use crate::provider::messages::{Completion, UpstreamPhase, UpstreamProgress};
use crate::provider_supervisor::messages::{BreakerState, TakeTicket, Ticket};
use crate::storage_writer::messages::Written;

/// The answer of a call that a shutdown met before it was sent.
const NOT_SENT: &str =
    "The server is shutting down, and this call was not sent to the model. Ask again in a few seconds.";

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
        let mut queued = Duration::ZERO;
        let requested = self.desk.permits.request(plan.scopes(&self.request.caller)).map_err(no_permit)?;
        let permit = match requested {
            Requested::Now(permit) => permit,
            Requested::Later(waiting) => {
                // A call that would be refused anyway is not made to wait for it.
                drop(self.take_ticket(&plan, 0).await?);
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
        self.ask_model(plan, permit, queued).await
    }

    /// The one retry loop: each request has a ticket and a row of its own before its first byte leaves.
    async fn ask_model(&mut self, plan: Plan, permit: Permit, queued: Duration) -> Result<Asked, CallError> {
        let mut ticket = self.take_ticket(&plan, 1).await?;
        let mut made = 0;
        loop {
            if self.desk.draining.is_cancelled() {
                return Err(draining(NOT_SENT));
            }
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
            let time_left = self.deadline.saturating_duration_since(clock::now());
            let wait = retry::wait_before_next(&failure, made, time_left, fastrand::f64());
            let reason = failure.class;
            let error = self.journal.attempt_failed(failure);
            let Some(wait) = wait.filter(|_| !self.desk.draining.is_cancelled()) else { return Err(error) };
            self.phase(Phase::Retrying);
            // Its end is written now, for the wait may be long; the call stays open.
            tokio::join!(self.journal.close_attempt(), tokio::time::sleep(wait));
            ticket = match self.next_ticket(&plan, made + 1).await {
                Some(ticket) => ticket,
                None => return Err(error),
            };
            meter::add(Counter::Retries, &[plan.model.provider.as_str(), reason.as_str()], 1);
        }
    }

    /// A ticket for one more request; none when the provider shall be left alone instead. A rate gate is waited for.
    async fn next_ticket(&self, plan: &Plan, attempt: u32) -> Option<Ticket> {
        loop {
            let refusal = match self.take_ticket(plan, attempt).await {
                Ok(ticket) => return Some(ticket),
                Err(refusal) => refusal,
            };
            let told = refusal.retry_after_ms.map(Duration::from_millis)?;
            let wait = retry::staggered(told, fastrand::f64());
            if refusal.kind != ErrorKind::RateLimited || clock::now() + wait >= self.deadline {
                return None;
            }
            tokio::time::sleep(wait).await;
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

    async fn take_ticket(&self, plan: &Plan, attempt: u32) -> Result<Ticket, CallError> {
        let supervisor = &self.desk.link(&plan.model.provider)?.supervisor;
        let wanted = TakeTicket { model: plan.model.id.clone(), attempt };
        match mail::ask(supervisor, wanted, ASK_WITHIN).await.map_err(restarting)? {
            Ok(ticket) => Ok(ticket),
            Err(refusal) => Err(name_alternative(&self.desk, &plan.model, refusal).await),
        }
    }

    /// The answer that the journal has already, if it was not this call that was written.
    async fn replayed(&self, written: Written) -> Option<Asked> {
        let store = &self.desk.setup.store;
        let answer = match written {
            Written::Done | Written::Recovered { .. } | Written::Expired(_) => return None,
            Written::DuplicateKey => replay(store, &self.request).await,
            Written::Undelivered(call) => replay_call(store, &self.request.caller.principal, call).await,
        };
        Some(Asked::Replayed(Box::new(answer)))
    }

    /// Makes one upstream request, and tells its progress.
    async fn attempt(&mut self, ticket: Ticket, plan: &Plan) -> Result<Outcome, CallError> {
        let prompt = plan.prompt(&self.request.question);
        let attempt = Attempt::start(ticket, self.request.call, prompt).map_err(restarting)?;
        self.answering.replace(Some(attempt.provider()));
        let attempt = self.attempt.insert(attempt);
        let outcome = loop {
            match attempt.hear().await {
                Heard::Ended(outcome) => break outcome,
                Heard::Progress(upstream) => {
                    let progress = told(upstream, self.request.asked);
                    self.progress.send_replace(progress);
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
        let Request { caller, question, asked, .. } = &self.request;
        let session = caller.session.to_string();
        tell_end(&self.journal, &session, &question.tool, *asked, answer);
    }
}

fn told(upstream: UpstreamProgress, since: Instant) -> Progress {
    let phase = match upstream.phase {
        UpstreamPhase::Waiting => Phase::Dispatched,
        UpstreamPhase::Thinking => Phase::Thinking,
        UpstreamPhase::Answering => Phase::Answering,
    };
    Progress { phase, since, tokens: upstream.tokens }
}

/// The provider's actor died with the request in hand, or its task panicked.
fn lost() -> CallError {
    let message = "The provider's connection failed on this call, by a defect of the server. Ask again.";
    CallError::new(ErrorKind::Internal, message)
}

fn restarting(_: mail::MailError) -> CallError {
    CallError::new(
        ErrorKind::Internal,
        "The provider's connection is being restarted. Ask again in a moment.",
    )
    .retry_after(ASK_WITHIN)
}

fn no_permit(why: NoPermit) -> CallError {
    let message = match why {
        NoPermit::Full => "Too many calls are waiting already. Ask again later.",
        NoPermit::TimedOut => "Every place was taken for as long as a call may wait. Ask again later.",
    };
    CallError::new(ErrorKind::OverCapacity, message).retry_after(ASK_WITHIN)
}
