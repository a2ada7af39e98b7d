//! One `tools/call`: starts the tool, tells its progress, cancels it when its client says so, and gives back its one result, or what
//! there is of it when its client can wait no longer.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use exai_actors::clock::{self, Instant};
use exai_actors::dispatcher::messages::{Answer, Attached, Caller, Follower, Phase, Progress};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::CallId;
use exai_actors::tools::{self, Started, ToolAnswer};
use exai_actors::trail::Trail;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext, RoleServer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answers::{self, Page};
use super::delivery::{Answers, Seat};
use super::edge::Hold;
use super::handler::{Draining, Handler};
use super::handover::handed_over;
use super::http::Readers;
use super::patience::{Asker, WITHIN_KEY};
use super::progress::{Pace, words};
use super::terms::Terms;

/// How long a hand-over waits for the text so far; after that it goes without.
const PARTIAL_WITHIN: Duration = Duration::from_secs(2);

/// The client's end of one call.
struct Client {
    peer: Peer<RoleServer>,
    token: Option<ProgressToken>,
    cancelled: CancellationToken,
    answers: Answers,
    /// Who reads the stream of its answer, where it has one of its own.
    readers: Option<Readers>,
    asked: Instant,
    page: Page,
}

impl From<&RequestContext<RoleServer>> for Client {
    fn from(context: &RequestContext<RoleServer>) -> Self {
        Self {
            peer: context.peer.clone(),
            token: context.meta.get_progress_token(),
            cancelled: context.ct.clone(),
            answers: context.extensions.get::<Hold>().map(|hold| hold.answers.clone()).unwrap_or_default(),
            readers: context.extensions.get().cloned(),
            asked: clock::now(),
            page: Page::default(),
        }
    }
}

/// What one follower of a call may do, and for how long it follows.
struct Following<'a> {
    /// Who follows.
    caller: &'a Caller,
    /// Whether its cancel ends the call; otherwise it ends the looking on alone.
    owns: bool,
    /// When it gets what there is; none where it waits as long as the call takes.
    answer_by: Option<Instant>,
}

impl Handler {
    /// Calls a tool that exists.
    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        let arguments = request.arguments.unwrap_or_default();
        let page = tools::page_wanted(&request.name, &arguments);
        let start = |caller| self.toolbox.start(caller, &request.name, arguments);
        self.attend(context, page, start).await
    }

    /// Starts something on the terms of its request, and stays with it.
    pub(super) async fn attend<S>(
        &self,
        context: &RequestContext<RoleServer>,
        page: usize,
        start: impl FnOnce(Caller) -> S,
    ) -> CallToolResult
    where
        S: Future<Output = Result<Started, CallError>>,
    {
        let who = context.client_info();
        let tokens_max = self.patience.output_tokens(who.as_ref().map(|who| who.name.as_str()));
        let client = Client { page: Page { number: page, tokens_max }, ..Client::from(context) };
        let terms = self.caller(context).and_then(|caller| Ok((caller, self.answer_by(context, &client)?)));
        let (caller, answer_by) = match terms {
            Ok(terms) => terms,
            Err(error) => return answers::failed(&error),
        };
        let following = |owns| Following { caller: &caller, owns, answer_by };
        // Not raced against the cancel: a call that was started and then forgotten could not be cancelled.
        let trail = Trail::of_request(&caller);
        let follow = |attached: Attached, owns| {
            trail.of_call(attached.call).follow(self.follow(attached, &client, following(owns)))
        };
        match trail.follow(start(caller.clone())).await {
            Ok(Started::Answered(answer)) => client.answered(*answer, None),
            Ok(Started::Broken { error, partial }) => {
                client.answers.failure(&error, None);
                answers::broken(&error, &partial)
            }
            Ok(Started::Running(attached)) => follow(attached, true).await,
            Ok(Started::Watching(attached)) => follow(attached, false).await,
            Err(error) => client.failed(&error, None),
        }
    }

    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, CallError> {
        let Terms { idempotency_key, retry_unknown } = Terms::read(&context.meta)?;
        let caller = Caller::new(self.principal.clone(), self.session);
        let traceparent = self.monitor.traceparent(context);
        Ok(Caller { idempotency_key, retry_unknown, traceparent, ..caller })
    }

    fn answer_by(
        &self,
        context: &RequestContext<RoleServer>,
        client: &Client,
    ) -> Result<Option<Instant>, CallError> {
        let who = context.client_info();
        let asker = Asker {
            client: who.as_ref().map(|who| who.name.as_str()),
            has_token: client.token.is_some(),
            within: context.meta.get(WITHIN_KEY),
        };
        Ok(self.patience.answer_within(asker)?.map(|within| client.asked + within))
    }

    /// Stays with a running call until it is answered, or its client has had enough or can wait no longer.
    async fn follow(
        &self,
        mut attached: Attached,
        client: &Client,
        following: Following<'_>,
    ) -> CallToolResult {
        let (call, progress) = (attached.call, attached.progress.clone());
        let seat = client.sit(std::mem::take(&mut attached.follower));
        tokio::select! {
            biased;
            answer = attached.answered() => {
                if following.owns && (attached.joined || is_of_another(&answer, call)) {
                    self.monitor.deduplicated();
                }
                client.ended(&answer, seat)
            }
            () = client.cancelled.cancelled() => {
                if self.gone.is_cancelled() {
                    // It did not cancel: the answer is paid for, and waits for whoever asks again. Over HTTP it may still hear that.
                    seat.leave();
                    let progress = *attached.progress.borrow();
                    return self.so_far(call, progress, following.caller).await;
                }
                if following.owns && let Some(follower) = seat.given_up() {
                    self.toolbox.cancel(following.caller, call, follower);
                }
                answers::failed(&CallError::new(ErrorKind::Cancelled, "Cancelled.").of_call(call))
            }
            // The call goes on: whoever follows it only lets go.
            handed_over = self.hand_over(call, progress.clone(), &following) => handed_over,
            never = client.tell(progress, &self.draining) => match never {},
        }
    }

    /// What the client gets when it can wait no longer.
    async fn hand_over(
        &self,
        call: CallId,
        mut progress: watch::Receiver<Progress>,
        following: &Following<'_>,
    ) -> CallToolResult {
        let Some(answer_by) = following.answer_by else { return pending().await };
        tokio::time::sleep_until(answer_by).await;
        // Nobody hears of a call that is not in the journal yet. One that never gets there is answered by its end.
        if progress.wait_for(|progress| progress.phase > Phase::Received).await.is_err() {
            return pending().await;
        }
        let progress = *progress.borrow();
        self.so_far(call, progress, following.caller).await
    }

    /// What there is of a call that goes on.
    async fn so_far(&self, call: CallId, progress: Progress, caller: &Caller) -> CallToolResult {
        let partial = tokio::time::timeout(PARTIAL_WITHIN, self.toolbox.partial(caller, call)).await;
        handed_over(call, &progress, partial.ok().flatten().as_deref(), clock::now())
    }
}

impl Client {
    /// Tells how the call is going for as long as it is polled. It runs beside the wait for the answer, so that a client that does
    /// not read its progress can still cancel.
    async fn tell(&self, mut progress: watch::Receiver<Progress>, draining: &Draining) -> Infallible {
        let Some(token) = &self.token else { return pending().await };
        let mut pace = Pace::default();
        let mut can_change = true;
        loop {
            let seen = *progress.borrow_and_update();
            let (now, drains) = (clock::now(), draining.begun.is_cancelled());
            let due_at = pace.due_at(seen.phase, drains, now);
            if due_at <= now {
                let number = pace.tell(seen.phase, drains, now);
                let message = words(&seen, drains.then_some(draining.within), now);
                let message = ProgressNotificationParam::new(token.clone(), number).with_message(message);
                // A client that is gone hears nothing, and the call goes on.
                self.peer.notify_progress(message).await.ok();
                continue;
            }
            tokio::select! {
                changed = progress.changed(), if can_change => can_change = changed.is_ok(),
                () = draining.begun.cancelled(), if !drains => {}
                () = tokio::time::sleep_until(due_at) => {}
            }
        }
    }

    /// Takes a place among those who follow a call, for as long as somebody would hear the answer.
    fn sit(&self, follower: Follower) -> Arc<Seat> {
        let seat = Seat::new(follower);
        if let Some(readers) = &self.readers {
            readers.keep(&seat);
        }
        seat
    }

    fn ended(&self, answer: &Answer, seat: Arc<Seat>) -> CallToolResult {
        match answer {
            Ok(finished) => self.answered(finished.clone().into(), Some(seat)),
            Err(error) => self.failed(error, Some(seat)),
        }
    }

    fn answered(&self, answer: ToolAnswer, seat: Option<Arc<Seat>>) -> CallToolResult {
        if let Some(receipt) = &answer.receipt {
            self.answers.outcome_of(receipt.call_id, seat);
        }
        answers::answered(answer, self.page)
    }

    fn failed(&self, error: &CallError, seat: Option<Arc<Seat>>) -> CallToolResult {
        self.answers.failure(error, seat);
        answers::failed(error)
    }
}

/// Whether the journal had the answer already, from an earlier call.
fn is_of_another(answer: &Answer, call: CallId) -> bool {
    let answered = match answer {
        Ok(finished) => Some(finished.receipt.call_id),
        Err(error) => error.call_id,
    };
    answered.is_some_and(|answered| answered != call)
}
