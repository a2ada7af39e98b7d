//! One upstream request of a call, from the ticket to its outcome. It outlives the future that waits for it, so that a call which
//! must end still learns what it had: dropping it closes the upstream's socket and gives the ticket back.

use std::time::Duration;

use actix::Addr;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::{self, Instant};
use crate::ids::CallId;
use crate::mail::{self, MailError};
use crate::provider::Provider;
use crate::provider::messages::{
    Completion, FailureClass, Partial, Prompt, StartUpstreamCall, UpstreamFailure, UpstreamProgress,
};
use crate::provider_supervisor::messages::{Settled, Ticket};
use crate::trail::Trail;

/// How long a request that is told to end may take to say what it had. It needs no more than its turn on our own thread.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// An answer that has been arriving for this long is worth a line in the journal.
const STREAMING_AFTER: Duration = Duration::from_secs(1);

/// What an upstream request ended with.
pub(super) type Outcome = Result<Completion, UpstreamFailure>;

/// A request on its way.
pub(super) struct Attempt {
    ticket: Ticket,
    close: DropGuard,
    progress: watch::Receiver<UpstreamProgress>,
    outcome: oneshot::Receiver<Outcome>,
    began: Option<Instant>,
    noted: bool,
}

/// What is heard of a request.
pub(super) enum Heard {
    /// It goes on.
    Progress(UpstreamProgress),
    /// It ended; none when its task, or its provider, died with it.
    Ended(Option<Outcome>),
}

impl Attempt {
    /// Has the provider send it.
    pub(super) fn start(ticket: Ticket, call: CallId, prompt: Prompt) -> Result<Self, MailError> {
        let (progress, watched) = watch::channel(UpstreamProgress::default());
        let (done, outcome) = oneshot::channel();
        let cancel = CancellationToken::new();
        let close = cancel.clone().drop_guard();
        let start = StartUpstreamCall { call, trail: Trail::current(), prompt, progress, cancel, done };
        mail::tell(&ticket.provider, start)?;
        Ok(Self { ticket, close, progress: watched, outcome, began: None, noted: false })
    }

    /// Who has it.
    pub(super) fn provider(&self) -> Addr<Provider> {
        self.ticket.provider.clone()
    }

    /// Waits for what is heard next. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Heard {
        tokio::select! {
            biased;
            outcome = &mut self.outcome => Heard::Ended(outcome.ok()),
            Ok(()) = self.progress.changed() => {
                let seen = *self.progress.borrow_and_update();
                if seen.tokens > 0 && self.began.is_none() {
                    self.began = Some(clock::now());
                    self.ticket.answering();
                }
                Heard::Progress(seen)
            }
        }
    }

    /// Whether the answer has been arriving for a while; true once.
    pub(super) fn streams_since_a_while(&mut self) -> bool {
        let streams = self.began.is_some_and(|began| clock::now() - began >= STREAMING_AFTER);
        streams && !std::mem::replace(&mut self.noted, true)
    }

    /// Gives the ticket back with what became of the request.
    pub(super) fn settle(self, outcome: Option<&Outcome>) {
        self.ticket.settle(match outcome {
            Some(Ok(_)) => Settled::Answered,
            Some(Err(failure)) => Settled::Failed { class: failure.class, retry_after: failure.retry_after },
            None => Settled::Lost,
        });
    }

    /// Ends it: the upstream's socket closes, and nothing is held against the upstream. What it had, if it says so in time.
    pub(super) async fn stop(self) -> Option<UpstreamFailure> {
        drop(self.close);
        let outcome = tokio::time::timeout(LAST_WORDS, self.outcome).await.ok()?.ok()?;
        Some(outcome.map_or_else(|failure| failure, too_late))
    }
}

/// An answer that came at the very moment at which its call had to end is what that call had.
fn too_late(completion: Completion) -> UpstreamFailure {
    UpstreamFailure {
        class: FailureClass::Cancelled,
        status: Some(200),
        code: None,
        retry_after: None,
        partial: Some(Partial(completion.text)),
        tokens: completion.usage.map_or(1, |usage| usage.completion),
        usage: completion.usage,
        host: completion.served.host,
    }
}
