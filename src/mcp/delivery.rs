//! Which call a response answers, from the handler that knows it to the transport that sends it.

use std::sync::{Arc, OnceLock, Weak};

use exai_actors::dispatcher::messages::Follower;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::CallId;
use parking_lot::Mutex;

/// A client's place among those who follow a call: taken while somebody would hear the answer, and given up with its last holder.
#[derive(Debug)]
pub(super) struct Seat {
    /// Locked for an assignment: the call's handler has it on one thread, and over HTTP connections come and go on others.
    taken: Mutex<Option<Follower>>,
    call: Weak<()>,
}

/// The outcome of a call, on its way to a client.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// The call.
    pub(super) call: CallId,
    /// The client's place among those who follow the call; kept until it has the answer. None for an answer out of the journal.
    pub(super) seat: Option<Arc<Seat>>,
}

impl Seat {
    /// The place that a call has given.
    pub(super) fn new(follower: Follower) -> Arc<Self> {
        let call = Arc::downgrade(&follower);
        Arc::new(Self { taken: Mutex::new(Some(follower)), call })
    }

    /// Nobody would hear the answer any more: the call is for whoever asks the same again.
    pub(super) fn leave(&self) {
        self.taken.lock().take();
    }

    /// Somebody hears again, if the call is not over.
    pub(super) fn take(&self) {
        *self.taken.lock() = self.call.upgrade();
    }

    /// The place as its holder's own, also of one that has left; none if the call is over.
    pub(super) fn given_up(&self) -> Option<Follower> {
        self.taken.lock().take().or_else(|| self.call.upgrade())
    }
}

/// The call that one response answers, once its handler knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<OnceLock<Outcome>>);

impl Answers {
    /// The response is this call's outcome.
    pub(super) fn outcome_of(&self, call: CallId, seat: Option<Arc<Seat>>) {
        // A response answers one call: there is no second one to note.
        self.0.set(Outcome { call, seat }).ok();
    }

    /// The response is a failure. Where it is a call's own outcome, that is noted; a conflict names a call that has another one, and
    /// a call that the server lost track of, could not write down or left behind may have one yet.
    pub(super) fn failure(&self, error: &CallError, seat: Option<Arc<Seat>>) {
        if let Some(call) = error.call_id.filter(|_| is_outcome(error.kind)) {
            self.outcome_of(call, seat);
        }
    }

    /// The outcome that the response is, if it is one.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.0.get().cloned()
    }
}

fn is_outcome(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Conflict
        | ErrorKind::NotFound
        | ErrorKind::StorageUnavailable
        | ErrorKind::Draining
        | ErrorKind::Internal => false,
        ErrorKind::InvalidArguments
        | ErrorKind::UnknownTool
        | ErrorKind::UnknownModel
        | ErrorKind::Unauthorized
        | ErrorKind::OverCapacity
        | ErrorKind::RateLimited
        | ErrorKind::BreakerOpen
        | ErrorKind::UpstreamError
        | ErrorKind::UpstreamTimeout
        | ErrorKind::UpstreamRejected
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::TooLarge => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_call_and_does_not_end_it_is_not_its_outcome() {
        let call = CallId::mint();
        for (kind, noted) in
            [(ErrorKind::UpstreamError, Some(call)), (ErrorKind::Conflict, None), (ErrorKind::Internal, None)]
        {
            let answers = Answers::default();
            answers.failure(&CallError::new(kind, "").of_call(call), None);
            assert_eq!(answers.outcome().map(|outcome| outcome.call), noted, "{kind:?}");
        }
    }
}
