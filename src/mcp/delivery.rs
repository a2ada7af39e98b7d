//! Which calls a response answers, from the handler that knows it to the transport that sends it, and which of these answers are on
//! their way to one client.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::CallId;
use tokio::sync::watch;

/// Answers on their way that are remembered for one connection; the oldest of more is forgotten.
const ON_ITS_WAY_MAX: usize = 128;

/// The call that one response answers, once its handler knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<OnceLock<CallId>>);

impl Answers {
    /// The response is this call's outcome.
    pub(super) fn outcome_of(&self, call: CallId) {
        // A response answers one call: there is no second one to note.
        self.0.set(call).ok();
    }

    /// The response is a failure. Where it is a call's own outcome, that is noted; a conflict names a call that has another one, and
    /// a call that the server lost track of, could not write down or left behind may have one yet.
    pub(super) fn failure(&self, error: &CallError) {
        if let Some(call) = error.call_id.filter(|_| is_outcome(error.kind)) {
            self.outcome_of(call);
        }
    }

    /// The call, if the response is the outcome of one.
    pub(super) fn call(&self) -> Option<CallId> {
        self.0.get().copied()
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

/// The calls whose answers were sent on one connection, which has not acknowledged them yet; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct OnItsWay(watch::Sender<VecDeque<CallId>>);

impl OnItsWay {
    /// An answer is sent.
    pub(super) fn sent(&self, call: CallId) {
        self.0.send_modify(|calls| {
            if calls.len() >= ON_ITS_WAY_MAX {
                calls.pop_front();
            }
            calls.push_back(call);
        });
    }

    /// An answer has arrived.
    pub(super) fn arrived(&self, call: CallId) {
        self.0.send_modify(|calls| {
            if let Some(at) = calls.iter().position(|sent| *sent == call) {
                calls.remove(at);
            }
        });
    }

    /// All of them, in the order in which they were sent.
    pub(super) fn calls(&self) -> Vec<CallId> {
        self.0.borrow().iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_on_its_way_until_it_arrives_and_no_more_than_so_many_are() {
        let on_its_way = OnItsWay::default();
        let calls = (0..ON_ITS_WAY_MAX + 1).map(|_| CallId::mint()).collect::<Vec<_>>();
        calls.iter().for_each(|call| on_its_way.sent(*call));
        assert_eq!(on_its_way.calls(), calls[1..]);
        // The same answer may be sent twice, to two askers.
        on_its_way.sent(calls[1]);
        on_its_way.arrived(calls[2]);
        on_its_way.arrived(calls[0]);
        assert_eq!(on_its_way.calls().first(), Some(&calls[3]));
        assert_eq!(on_its_way.calls().last(), Some(&calls[1]));
    }

    #[test]
    fn what_names_a_call_and_does_not_end_it_is_not_its_outcome() {
        let call = CallId::mint();
        for (kind, noted) in
            [(ErrorKind::UpstreamError, Some(call)), (ErrorKind::Conflict, None), (ErrorKind::Internal, None)]
        {
            let answers = Answers::default();
            answers.failure(&CallError::new(kind, "").of_call(call));
            assert_eq!(answers.call(), noted, "{kind:?}");
        }
    }
}
