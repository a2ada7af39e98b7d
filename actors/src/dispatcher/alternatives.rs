//! Which configured model would answer now, and when the asked one would, for a refusal that sends its caller elsewhere or away for a
//! while. It asks the supervisors and reserves nothing: by the time the caller comes back it may be another one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::desk::Desk;
use super::plan::ASK_WITHIN;
use crate::error::{CallError, ErrorKind};
use crate::ids::{ModelId, ProviderName};
use crate::mail;
use crate::models::Model;
use crate::provider_supervisor::messages::{FirstFree, MayGo};

/// How long a failure that is known waits for a better word on when to come back.
const HINT_WITHIN: Duration = Duration::from_millis(250);
/// What a caller is told to wait whose upstream is busy, where neither the upstream nor its supervisor says for how long.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Names a model that would answer now in a refusal that a supervisor gave for `refused`: a sibling at the same provider, else
/// another provider's.
pub(super) async fn name_alternative(desk: &Desk, refused: &Model, refusal: CallError) -> CallError {
    let elsewhere = match refusal.kind {
        ErrorKind::BreakerOpen | ErrorKind::RateLimited => first_free(desk, refused).await,
        ErrorKind::InvalidArguments
        | ErrorKind::UnknownTool
        | ErrorKind::UnknownModel
        | ErrorKind::Unauthorized
        | ErrorKind::OverCapacity
        | ErrorKind::UpstreamError
        | ErrorKind::UpstreamTimeout
        | ErrorKind::UpstreamRejected
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::Conflict
        | ErrorKind::NotFound
        | ErrorKind::TooLarge
        | ErrorKind::StorageUnavailable
        | ErrorKind::Draining
        | ErrorKind::Internal => return refusal,
    };
    match elsewhere {
        Some(model) => {
            let message = format!("{} {model} would answer now.", refusal.message.trim_end());
            CallError { message, ..refusal }.with("would_answer", model.as_str())
        }
        None => refusal,
    }
}

/// Says when a call to `model` would be let through, in the failure of one whose upstream asks for patience: its supervisor, which knows
/// of this failure already, may have heard of longer waits from others, or wait longer by itself.
pub(super) async fn tell_wait(desk: &Desk, model: &Model, failure: CallError) -> CallError {
    if failure.kind != ErrorKind::RateLimited && failure.retry_after_ms.is_none() {
        return failure;
    }
    let refusal = match desk.link(&model.provider) {
        Ok(link) => mail::ask(&link.supervisor, MayGo { model: model.id.clone() }, HINT_WITHIN).await,
        Err(_) => return failure,
    };
    let retry_after_ms = match refusal {
        // Waiting alone does not help there.
        Ok(Err(CallError { retry_after_ms: None, .. })) => None,
        Ok(Err(refusal)) => refusal.retry_after_ms.max(failure.retry_after_ms),
        Ok(Ok(())) | Err(_) if failure.retry_after_ms.is_some() => failure.retry_after_ms,
        Ok(Ok(())) | Err(_) => return failure.retry_after(BUSY_RETRY_AFTER),
    };
    CallError { retry_after_ms, ..failure }
}

async fn first_free(desk: &Desk, refused: &Model) -> Option<ModelId> {
    let mut by_provider = BTreeMap::<&ProviderName, Vec<ModelId>>::new();
    let catalogue = desk.setup.catalogue.get();
    for model in catalogue.models().iter().filter(|model| model.id != refused.id) {
        by_provider.entry(&model.provider).or_default().push(model.id.clone());
    }
    let own = by_provider.remove_entry(&refused.provider);
    for (provider, models) in own.into_iter().chain(by_provider) {
        let Some(link) = desk.setup.providers.get(provider) else { continue };
        // A supervisor that is being restarted has nobody to recommend.
        if let Ok(Some(model)) = mail::ask(&link.supervisor, FirstFree { models }, ASK_WITHIN).await {
            return Some(model);
        }
    }
    None
}
