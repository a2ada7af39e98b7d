//! The actor.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, MessageResult, ResponseFuture, Supervised,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::consultation::{Consultation, Request};
use super::desk::{Desk, Setup};
use super::ending::{Lost, count_refusal};
use super::journal::Journal;
use super::messages::{
    Attach, Attached, Cancel, Consult, Drain, Follower, GetLive, GetLoad, GetPartial, Phase, Progress,
    SetLimits,
};
use super::roster::{Answering, Live};
use crate::clock;
use crate::error::{CallError, ErrorKind};
use crate::faults::{self, Point};
use crate::ids::CallId;
use crate::mail;
use crate::provider::messages::GetPartial as UpstreamPartial;
use crate::supervised::{self, Death, Intensity, Knock, Start};
use crate::trail::Trail;

/// Messages that may wait for the dispatcher.
const MAILBOX: usize = 4096;
/// Deaths that end the process: one more within the window.
const INTENSITY: Intensity = Intensity { restarts_max: 2, within: Duration::from_secs(60) };
/// How long calls that are ended at the end of a drain may take to write that down.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a provider may take to say what a call has so far.
const PARTIAL_WITHIN: Duration = Duration::from_secs(2);
/// How often the load is published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// What a client is told to wait while the server restarts.
const DRAINING_RETRY_AFTER: Duration = Duration::from_secs(5);
/// What the prompts of all calls that run or wait may take together.
const PROMPT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What a client is told to wait when too many calls are waiting.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Takes consultations in and owns their tasks.
#[derive(Clone)]
pub struct Dispatcher {
    // All of it is handed from life to life: a death loses the message in hand and nothing else.
    pub(super) desk: Rc<Desk>,
    tasks: TaskTracker,
}

impl Dispatcher {
    /// Starts it. `on_death` hears `GaveUp` when it died too often; the process should then end.
    pub fn start(
        arbiter: &ArbiterHandle,
        setup: Setup,
        on_death: impl Fn(Death) + Send + 'static,
    ) -> Addr<Self> {
        let start = Start { name: "dispatcher", arbiter, mailbox: MAILBOX, intensity: INTENSITY };
        supervised::start(start, on_death, |_| Self {
            desk: Rc::new(Desk::new(setup)),
            tasks: TaskTracker::new(),
        })
    }

    fn refusal(&self, prompt_bytes: usize) -> Option<CallError> {
        if self.desk.draining.is_cancelled() {
            return Some(draining("The server is shutting down. Ask again in a few seconds."));
        }
        // Before a call waits for permits it reads its conversation; this bounds those, too.
        let crowded = self.desk.roster.len() >= self.desk.permits.calls_max();
        if crowded || self.desk.roster.prompt_bytes() + prompt_bytes > PROMPT_BYTES_MAX {
            let message = "Too many calls are waiting already. Ask again later.";
            return Some(CallError::new(ErrorKind::OverCapacity, message).retry_after(CROWDED_RETRY_AFTER));
        }
        None
    }

    fn consult(&self, consult: Consult) -> Result<Attached, CallError> {
        let Consult { caller, question, request_hash } = consult;
        if let Some(key) = &caller.idempotency_key
            && let Some(live) = self.desk.roster.of_key(&caller.principal, key)
        {
            return if live.request_hash == request_hash {
                Ok(live.attached(true))
            } else {
                // Nobody hears of a call that is not in the journal yet.
                let told = live.progress.borrow().phase > Phase::Received;
                Err(if told { key_conflict().of_call(live.call) } else { key_conflict() })
            };
        }
        // A paid answer that nobody waits for goes to whoever asks the same again.
        if caller.idempotency_key.is_none()
            && let Some(live) = self.desk.roster.unfollowed(&caller.principal, &request_hash)
        {
            return Ok(live.attached(true));
        }
        let prompt_bytes = question.prompt.len();
        if let Some(refusal) = self.refusal(prompt_bytes) {
            return Err(refusal);
        }
        let asked = clock::now();
        let call = CallId::mint();
        let cancel = CancellationToken::new();
        let received = Progress { phase: Phase::Received, since: asked, tokens: 0 };
        let (progress, progress_seen) = watch::channel(received);
        let (answer, answer_seen) = watch::channel(None);
        let answering = Answering::default();
        let entry = self.desk.roster.enter(Live {
            call,
            principal: caller.principal.clone(),
            session: caller.session,
            tool: question.tool.clone(),
            key: caller.idempotency_key.clone(),
            request_hash: request_hash.clone(),
            prompt_bytes,
            cancel: cancel.clone(),
            progress: progress_seen,
            answer: answer_seen,
            follower: Follower::default(),
            answering: Rc::clone(&answering),
        });
        let attached = entry.attached();
        let desk = Rc::clone(&self.desk);
        let request = Request { call, caller, question, request_hash, asked };
        let trail = Trail::of_request(&request.caller).of_call(call);
        self.tasks.spawn_local(trail.follow(async move {
            let journal = Journal::new(Rc::clone(&desk), call);
            let lost = Lost { tool: request.question.tool.clone(), asked, journal: journal.clone() };
            let consultation = Consultation::new(desk, request, progress, journal, answering);
            let ended = match tokio::task::spawn_local(trail.follow(consultation.run(cancel))).await {
                Ok(ended) => ended,
                Err(_) => lost.answer().await,
            };
            answer.send_replace(Some(Arc::new(ended)));
            drop(entry);
        }));
        Ok(attached)
    }
}

/// The refusal of a server that is shutting down.
pub(super) fn draining(message: &str) -> CallError {
    CallError::new(ErrorKind::Draining, message).retry_after(DRAINING_RETRY_AFTER)
}

/// The refusal for a key that names another request.
pub(super) fn key_conflict() -> CallError {
    CallError::new(
        ErrorKind::Conflict,
        "This idempotency key belongs to another request. Use a new key for a new request.",
    )
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(PUBLISH_EVERY, |dispatcher, _| {
            dispatcher.desk.setup.load.send_replace(dispatcher.desk.load());
        });
    }
}

impl Supervised for Dispatcher {
    fn restarting(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Knock> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: Knock, _: &mut Context<Self>) {}
}

impl Handler<Consult> for Dispatcher {
    type Result = Result<Attached, CallError>;

    fn handle(&mut self, consult: Consult, _: &mut Context<Self>) -> Self::Result {
        faults::point(Point::Dispatcher);
        let tool = consult.question.tool.clone();
        self.consult(consult).inspect_err(|refusal| count_refusal(&tool, refusal))
    }
}

impl Handler<Cancel> for Dispatcher {
    type Result = ();

    fn handle(&mut self, cancel: Cancel, _: &mut Context<Self>) {
        let Cancel { principal, call, follower } = cancel;
        let Some(live) = self.desk.roster.of_call(&principal, call) else { return };
        let for_all = follower.is_none();
        drop(follower);
        if for_all || !live.is_followed() {
            live.cancel.cancel();
        }
    }
}

impl Handler<Attach> for Dispatcher {
    type Result = Option<Attached>;

    fn handle(&mut self, attach: Attach, _: &mut Context<Self>) -> Self::Result {
        self.desk.roster.of_call(&attach.principal, attach.call).map(|live| live.attached(false))
    }
}

impl Handler<GetPartial> for Dispatcher {
    type Result = ResponseFuture<Option<String>>;

    fn handle(&mut self, ask: GetPartial, _: &mut Context<Self>) -> Self::Result {
        let GetPartial { principal, call } = ask;
        let live = self.desk.roster.of_call(&principal, call);
        let provider = live.and_then(|live| live.answering.provider.borrow().clone());
        Box::pin(async move {
            let partial = mail::ask(&provider?, UpstreamPartial { call }, PARTIAL_WITHIN).await;
            partial.ok().flatten().filter(|text| !text.is_empty())
        })
    }
}

impl Handler<GetLoad> for Dispatcher {
    type Result = MessageResult<GetLoad>;

    fn handle(&mut self, _: GetLoad, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.desk.load())
    }
}

impl Handler<SetLimits> for Dispatcher {
    type Result = ();

    fn handle(&mut self, SetLimits { limits }: SetLimits, _: &mut Context<Self>) {
        self.desk.permits.set_limits(limits);
    }
}

impl Handler<GetLive> for Dispatcher {
    type Result = Vec<CallId>;

    fn handle(&mut self, _: GetLive, _: &mut Context<Self>) -> Self::Result {
        self.desk.roster.calls()
    }
}

impl Handler<Drain> for Dispatcher {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) -> Self::Result {
        self.desk.draining.cancel();
        self.tasks.close();
        let (tasks, desk) = (self.tasks.clone(), Rc::clone(&self.desk));
        Box::pin(async move {
            if tokio::time::timeout(drain.within, tasks.wait()).await.is_ok() {
                return 0;
            }
            let left = desk.roster.len();
            desk.leaving.cancel();
            // Each of them still writes down how it ended, and is answered.
            if tokio::time::timeout(LAST_WORDS, tasks.wait()).await.is_err() {
                log::error!(calls = desk.roster.len(); "calls could not be ended in time");
            }
            left
        })
    }
}
