//! Which call a response answers, from the handler that knows it to the transport that sends it.

use std::sync::{Arc, OnceLock};

use exai_actors::dispatcher::messages::Follower;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::CallId;

/// The outcome of a call, on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The call.
    pub(super) call: CallId,
    /// The client's place among those who follow the call; kept until it has the answer. None for an answer out of the journal.
    pub(super) follower: Option<Follower>,
}

/// The call that one response answers, once its handler knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<OnceLock<Outcome>>);

impl Answers {
    /// The response is this call's outcome.
    pub(super) fn outcome_of(&self, call: CallId, follower: Option<Follower>) {
        // A response answers one call: there is no second one to note.
        self.0.set(Outcome { call, follower }).ok();
    }

    /// The response is a failure. Where it is a call's own outcome, that is noted; a conflict names a call that has another one, and
    /// a call that the server lost track of, could not write down or left behind may have one yet.
    pub(super) fn failure(&self, error: &CallError, follower: Option<Follower>) {
        if let Some(call) = error.call_id.filter(|_| is_outcome(error.kind)) {
            self.outcome_of(call, follower);
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
