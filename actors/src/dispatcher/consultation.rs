//! The story of a call: pick the model, get the permits, write the journal, load the thread, stream, commit, answer. One linear
//! task; it ends early when it is cancelled or out of time, and whatever it holds gives itself back when it is dropped.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::actor::draining;
use super::desk::Desk;
use super::ending::tell_end;
use super::journal::Journal;
use super::messages::{Answer, Caller, Phase, Progress, Question};
use super::permits::{NoPermit, Permit, Requested, Waiting};
use super::plan::Plan;
use super::replay::replay;
use crate::clock::{self, Instant};
use crate::error::{CallError, ErrorKind};
use crate::faults::{self, Point};
use crate::ids::CallId;
use crate::mail;
use crate::provider::messages::{
    Completion, Prompt, StartUpstreamCall, UpstreamFailure, UpstreamPhase, UpstreamProgress,
};
use crate::provider_supervisor::messages::{BreakerState, GetStanding, TakeTicket, Ticket};
use crate::storage_writer::messages::Written;

/// How long an actor on our own thread may take to answer.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// The answer of a call that a shutdown met while it waited.
const NOT_SENT: &str =
    "The server is shutting down, and this call was not sent to the model. Ask again in a few seconds.";
/// The answer of a call that a shutdown met while the model was answering.
const CUT_SHORT: &str =
    "The server shut down before the model had answered. Asking again sends, and bills, the call anew.";

/// One call, from its question to its answer.
pub(super) struct Consultation {
    desk: Rc<Desk>,
    request: Request,
    progress: watch::Sender<Progress>,
    journal: Journal,
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
enum Outcome {
    /// A model answered; still to be committed.
    Completed(Box<Completed>),
    /// The journal already had the answer to this key.
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
    ) -> Self {
        Self { desk, request, progress, journal }
    }

    /// Runs the call to its one answer.
    pub(super) async fn run(mut self, cancel: CancellationToken) -> Answer {
        let desk = Rc::clone(&self.desk);
        let deadline = self.request.asked + desk.setup.deadline;
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            outcome = self.consult() => outcome,
            () = desk.leaving.cancelled() => Err(draining(CUT_SHORT)),
            () = tokio::time::sleep_until(deadline) => Err(self.out_of_time()),
        };
        let answer = match outcome {
            Ok(Outcome::Replayed(answer)) => *answer,
            Ok(Outcome::Completed(completed)) => {
                self.phase(Phase::Committing);
                self.journal.commit_answer(&self.request, *completed).await
            }
            Err(error) => Err(self.journal.commit_failure(error).await),
        };
        self.tell_end(&answer);
        answer
    }

    async fn consult(&mut self) -> Result<Outcome, CallError> {
        let mut plan = Plan::make(&self.desk, &self.request).await?;
        let mut queued = Duration::ZERO;
        let requested = self.desk.permits.request(plan.scopes(&self.request.caller)).map_err(no_permit)?;
        let permit = match requested {
            Requested::Now(permit) => permit,
            Requested::Later(waiting) => {
                self.refuse_before_waiting(&plan).await?;
                if self.desk.setup.queue_wait.is_zero() {
                    return Err(no_permit(NoPermit::TimedOut));
                }
                if self.open(&plan, false).await? == Written::DuplicateKey {
                    return self.replay().await;
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
        let ticket = self.take_ticket(&plan).await?;
        if self.desk.draining.is_cancelled() {
            return Err(draining(NOT_SENT));
        }
        if self.open(&plan, true).await? == Written::DuplicateKey {
            return self.replay().await;
        }
        self.phase(Phase::Dispatched);
        let breaker = ticket.breaker;
        let completion = self.stream(ticket, plan.prompt(&self.request.question)).await?;
        match completion {
            Ok(completion) => Ok(Outcome::Completed(Box::new(Completed {
                plan,
                completion,
                breaker,
                queued,
                _permit: permit,
            }))),
            Err(failure) => Err(self.journal.attempt_failed(&failure, &plan.model)),
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

    /// A call that would be refused anyway is not made to wait for it.
    async fn refuse_before_waiting(&self, plan: &Plan) -> Result<(), CallError> {
        let supervisor = &self.desk.link(&plan.model.provider)?.supervisor;
        let standing = mail::ask(supervisor, GetStanding, ASK_WITHIN).await.map_err(restarting)?;
        match standing.breaker {
            BreakerState::Open => self.take_ticket(plan).await.map(drop),
            BreakerState::Closed | BreakerState::HalfOpen => Ok(()),
        }
    }

    async fn take_ticket(&self, plan: &Plan) -> Result<Ticket, CallError> {
        let supervisor = &self.desk.link(&plan.model.provider)?.supervisor;
        let wanted = TakeTicket { model: plan.model.id.clone(), attempt: 1 };
        mail::ask(supervisor, wanted, ASK_WITHIN).await.map_err(restarting)?
    }

    /// Nobody hears of the call before this commit.
    async fn open(&mut self, plan: &Plan, dispatched: bool) -> Result<Written, CallError> {
        self.journal.open(&self.request, plan, dispatched).await
    }

    async fn replay(&mut self) -> Result<Outcome, CallError> {
        self.journal.forget();
        let store = &self.desk.setup.store;
        Ok(Outcome::Replayed(Box::new(replay(store, &self.request).await)))
    }

    async fn stream(
        &self,
        ticket: Ticket,
        prompt: Prompt,
    ) -> Result<Result<Completion, UpstreamFailure>, CallError> {
        let (progress, mut watched) = watch::channel(UpstreamProgress::default());
        let (done, mut outcome) = oneshot::channel();
        let cancel = CancellationToken::new();
        // Dropped with this future, whatever the reason: the upstream's socket closes.
        let _close_upstream = cancel.clone().drop_guard();
        let start = StartUpstreamCall { call: self.request.call, prompt, progress, cancel, done };
        mail::tell(&ticket.provider, start).map_err(restarting)?;
        loop {
            tokio::select! {
                biased;
                outcome = &mut outcome => return outcome.map_err(|_| lost()),
                Ok(()) = watched.changed() => self.upstream_progress(*watched.borrow_and_update()),
            }
        }
    }

    fn upstream_progress(&self, upstream: UpstreamProgress) {
        let phase = match upstream.phase {
            UpstreamPhase::Waiting => Phase::Dispatched,
            UpstreamPhase::Thinking => Phase::Thinking,
            UpstreamPhase::Answering => Phase::Answering,
        };
        self.progress.send_replace(Progress { phase, since: self.request.asked, tokens: upstream.tokens });
    }

    fn phase(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
    }

    fn out_of_time(&self) -> CallError {
        let seconds = self.desk.setup.deadline.as_secs();
        let message =
            format!("The call used up its {seconds} s. Ask for less at once, or raise `limits.deadline_s`.");
        CallError::new(ErrorKind::DeadlineExceeded, message)
    }

    fn tell_end(&self, answer: &Answer) {
        let Request { call, caller, question, asked, .. } = &self.request;
        let session = caller.session.to_string();
        tell_end(&self.desk, *call, &session, &question.tool, *asked, answer);
    }
}

/// The provider's actor died with the request in hand, or its task panicked.
fn lost() -> CallError {
    let message = "The provider's connection failed on this call, by a defect of the server. Ask again.";
    CallError::new(ErrorKind::Internal, message)
}

fn cancelled() -> CallError {
    CallError::new(ErrorKind::Cancelled, "The call was cancelled.")
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
