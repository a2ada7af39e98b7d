//! Why a call must end before it is answered, and what its caller hears then.

use tokio_util::sync::CancellationToken;

use super::actor::draining;
use super::desk::Desk;
use crate::clock::Instant;
use crate::error::{CallError, ErrorKind};

/// The answer of a call that a shutdown met while the model was answering.
const CUT_SHORT: &str = "The server shut down before the model had answered. What had come by then is kept for `result`; \
                         asking again sends, and bills, the call anew.";

/// Waits until a call must end, and gives the answer it ends with.
pub(super) async fn must_end(desk: &Desk, cancel: &CancellationToken, deadline: Instant) -> CallError {
    tokio::select! {
        biased;
        () = cancel.cancelled() => CallError::new(ErrorKind::Cancelled, "The call was cancelled."),
        () = desk.leaving.cancelled() => draining(CUT_SHORT),
        () = tokio::time::sleep_until(deadline) => out_of_time(desk),
    }
}

fn out_of_time(desk: &Desk) -> CallError {
    let seconds = desk.setup.deadline.as_secs();
    let message = format!(
        "The call used up its {seconds} s; what had come by then is kept for `result`. Ask for less at once, or raise `limits.deadline_s`."
    );
    CallError::new(ErrorKind::DeadlineExceeded, message)
}
