//! What the end of an upstream call counts for: one row for each way in which it can end. Pure; a table.

use std::time::Duration;

use super::messages::{ParkReason, Settled};
use crate::provider::messages::FailureClass;

/// What an end counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The model and its provider work.
    Works,
    /// The model does not work; of its provider this says nothing.
    ModelFails,
    /// The provider cannot be reached, and so the model cannot.
    ProviderFails,
    /// The model takes no more calls for a while.
    Busy,
    /// The provider takes no call of this account.
    Park(ParkReason),
    /// The caller's or nobody's fault: it counts for nothing.
    Nothing,
}

impl Verdict {
    /// None settled is a ticket that was dropped.
    pub(super) fn of(settled: Option<Settled>) -> Self {
        match settled {
            None => Self::Nothing,
            Some(Settled::Answered) => Self::Works,
            Some(Settled::Failed { class, retry_after: _ }) => Self::of_class(class),
            Some(Settled::Lost) => Self::ModelFails,
        }
    }

    /// How the failure that it judges is called in one word, and the wait that the upstream asked for.
    pub(super) fn failure(settled: Option<Settled>) -> (&'static str, Option<Duration>) {
        match settled {
            Some(Settled::Failed { class, retry_after }) => (class.as_str(), retry_after),
            Some(Settled::Lost) => ("lost", None),
            Some(Settled::Answered) | None => ("none", None),
        }
    }

    /// Whether the provider said something: then its host can be reached.
    pub(super) fn was_reached(settled: Option<Settled>) -> bool {
        match settled {
            Some(Settled::Answered) => true,
            Some(Settled::Failed { class, retry_after: _ }) => matches!(
                class,
                FailureClass::Server
                    | FailureClass::Busy
                    | FailureClass::BrokenStream
                    | FailureClass::Garbage
                    | FailureClass::Flood
            ),
            Some(Settled::Lost) | None => false,
        }
    }

    fn of_class(class: FailureClass) -> Self {
        match class {
            FailureClass::Connect => Self::ProviderFails,
            FailureClass::Reset
            | FailureClass::Timeout
            | FailureClass::BrokenStream
            | FailureClass::Garbage
            | FailureClass::Flood
            | FailureClass::Server => Self::ModelFails,
            FailureClass::Busy => Self::Busy,
            FailureClass::Quota => Self::Park(ParkReason::Quota),
            FailureClass::Key => Self::Park(ParkReason::Key),
            FailureClass::Stale
            | FailureClass::UnknownModel
            | FailureClass::TooLong
            | FailureClass::ContentPolicy
            | FailureClass::Rejected
            | FailureClass::OutputCap
            | FailureClass::InvalidArguments
            | FailureClass::Misrouted
            | FailureClass::Cancelled => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_row() {
        use FailureClass as Class;
        let rows = [
            (Class::Connect, Verdict::ProviderFails),
            (Class::Reset, Verdict::ModelFails),
            (Class::Stale, Verdict::Nothing),
            (Class::Timeout, Verdict::ModelFails),
            (Class::BrokenStream, Verdict::ModelFails),
            (Class::Garbage, Verdict::ModelFails),
            (Class::Flood, Verdict::ModelFails),
            (Class::Server, Verdict::ModelFails),
            (Class::Busy, Verdict::Busy),
            (Class::Quota, Verdict::Park(ParkReason::Quota)),
            (Class::Key, Verdict::Park(ParkReason::Key)),
            (Class::UnknownModel, Verdict::Nothing),
            (Class::TooLong, Verdict::Nothing),
            (Class::ContentPolicy, Verdict::Nothing),
            (Class::Rejected, Verdict::Nothing),
            (Class::OutputCap, Verdict::Nothing),
            (Class::InvalidArguments, Verdict::Nothing),
            (Class::Misrouted, Verdict::Nothing),
            (Class::Cancelled, Verdict::Nothing),
        ];
        for (class, verdict) in rows {
            assert_eq!(Verdict::of(Some(Settled::Failed { class, retry_after: None })), verdict, "{class:?}");
        }
        assert_eq!(Verdict::of(Some(Settled::Answered)), Verdict::Works);
        assert_eq!(Verdict::of(Some(Settled::Lost)), Verdict::ModelFails);
        assert_eq!(Verdict::of(None), Verdict::Nothing);
    }
}
