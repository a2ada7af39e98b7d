//! Which configured model would answer now, for a refusal that sends its caller elsewhere. It asks the supervisors and reserves
//! nothing: by the time the caller comes back it may be another one.

use std::collections::BTreeMap;

use super::desk::Desk;
use super::plan::ASK_WITHIN;
use crate::error::{CallError, ErrorKind};
use crate::ids::{ModelId, ProviderName};
use crate::mail;
use crate::models::Model;
use crate::provider_supervisor::messages::FirstFree;

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
