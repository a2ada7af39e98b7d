//! The answer of a call that the journal already has: byte for byte what its first asker got.

use std::time::Duration;

use super::actor::key_conflict;
use super::consultation::Request;
use super::messages::{Answer, Finished};
use super::plan::not_read;
use crate::error::{CallError, ErrorKind};
use crate::ids::{CallId, Principal};
use crate::storage::Store;
use crate::storage::rows::{CallState, StoredCall};

/// When to come back for a call that is open.
const OPEN_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The answer to the caller's idempotency key.
pub(super) async fn replay(store: &Store, request: &Request) -> Answer {
    let Request { call, caller, request_hash, .. } = request;
    let Some(key) = &caller.idempotency_key else {
        return Err(CallError::new(
            ErrorKind::Internal,
            "A call without a key was taken for a repeated one.",
        ));
    };
    let stored =
        store.load_call_by_key(&caller.principal, key).await.map_err(|error| not_read(*call, &error))?;
    match stored {
        Some(call) if call.request_hash == *request_hash => stored_answer(call),
        Some(call) => Err(key_conflict().of_call(call.id)),
        None => Err(key_conflict()),
    }
}

/// The answer of a call of this principal that was never delivered.
pub(super) async fn replay_call(store: &Store, principal: &Principal, call: CallId) -> Answer {
    let stored = store.load_call(principal, call).await.map_err(|error| not_read(call, &error))?;
    match stored {
        Some(stored) => stored_answer(stored),
        None => {
            Err(CallError::new(ErrorKind::NotFound, "The answer of this call is no longer kept. Ask again."))
        }
    }
}

/// What a stored call ended with.
pub(crate) fn stored_answer(call: StoredCall) -> Answer {
    let StoredCall { id, state, result, receipt, error, .. } = call;
    match state {
        CallState::Completed => {
            let receipt = receipt.and_then(|receipt| serde_json::from_str(&receipt).ok());
            match (result, receipt) {
                (Some(text), Some(receipt)) => Ok(Finished { text, receipt }),
                (Some(_), None) | (None, _) => Err(CallError::new(
                    ErrorKind::NotFound,
                    "The answer of this call is no longer kept. Ask again.",
                )
                .of_call(id)),
            }
        }
        CallState::Failed | CallState::Cancelled => {
            let error = error.and_then(|error| serde_json::from_str(&error).ok());
            Err(error.unwrap_or_else(|| CallError::new(ErrorKind::Internal, "The call failed.").of_call(id)))
        }
        CallState::Accepted | CallState::Dispatched => {
            let message = "The call is still running, or its outcome is about to be written. Fetch it with `result` in a moment.";
            Err(CallError::new(ErrorKind::Conflict, message).retry_after(OPEN_RETRY_AFTER).of_call(id))
        }
        CallState::Interrupted => {
            let message = "The call was interrupted before it was sent. Ask again.";
            Err(CallError::new(ErrorKind::Conflict, message).of_call(id))
        }
        CallState::Unknown => {
            let message = "The call was sent, and the server stopped before it knew the answer. It may have been billed. \
                           Under its idempotency key it is sent again only with `_meta[\"exai/retryUnknown\"]: true`; a question without a key is a new call.";
            Err(CallError::new(ErrorKind::Conflict, message).of_call(id))
        }
    }
}
