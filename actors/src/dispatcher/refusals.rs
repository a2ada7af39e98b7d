//! What a caller hears whose call cannot go on for a reason of ours.

use super::permits::NoPermit;
use super::plan::ASK_WITHIN;
use crate::error::{CallError, ErrorKind};
use crate::mail;

/// The answer of a call that a shutdown met before it was sent.
pub(super) const NOT_SENT: &str =
    "The server is shutting down, and this call was not sent to the model. Ask again in a few seconds.";

/// The provider's actor died with the request in hand, or its task panicked.
pub(super) fn lost() -> CallError {
    let message = "The provider's connection failed on this call, by a defect of the server. Ask again.";
    CallError::new(ErrorKind::Internal, message)
}

pub(super) fn restarting(_: mail::MailError) -> CallError {
    CallError::new(
        ErrorKind::Internal,
        "The provider's connection is being restarted. Ask again in a moment.",
    )
    .retry_after(ASK_WITHIN)
}

pub(super) fn no_permit(why: NoPermit) -> CallError {
    let message = match why {
        NoPermit::Full => "Too many calls are waiting already. Ask again later.",
        NoPermit::TimedOut => "Every place was taken for as long as a call may wait. Ask again later.",
    };
    CallError::new(ErrorKind::OverCapacity, message).retry_after(ASK_WITHIN)
}
