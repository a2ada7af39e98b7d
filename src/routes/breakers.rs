//! The circuit breakers: how they stand, and the operator's word on them. The one route that waits for an actor, and never long.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::{ModelId, ProviderName};
use exai_actors::mail;
use exai_actors::provider_supervisor::messages::{Operate, Order};
use exai_actors::tools::standings;
use serde::Deserialize;
use serde_json::json;

use crate::routes::Door;
use crate::security::{Refusal, Scope};

/// How long a supervisor may take; it decides, and never waits for an upstream.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// `POST /api/breakers`: what an operator asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operation {
    /// The provider.
    provider: String,
    /// The model whose breaker is meant; none for the provider's own, and for all of its breakers where they are reset.
    #[serde(default)]
    model: Option<String>,
    /// `force_open`, `disable` or `reset`.
    order: Order,
}

/// `GET /api/breakers`: every provider with its breakers, gates and parking, and why.
pub(super) async fn list(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    Ok(standing(&door).await)
}

async fn standing(door: &Door) -> HttpResponse {
    HttpResponse::Ok().json(standings(&door.supervisors).await)
}

/// `POST /api/breakers`: opens, disables or resets a breaker; a reset without a model also takes the provider out of its parking.
pub(super) async fn operate(
    request: HttpRequest,
    door: web::Data<Door>,
    body: web::Bytes,
) -> Result<HttpResponse, Refusal> {
    let operator = door.check(&request, Scope::Admin)?;
    let Ok(Operation { provider, model, order }) = serde_json::from_slice(&body) else {
        let message = "The body must be {\"provider\": NAME, \"model\": ID or absent, \"order\": \"force_open\" | \"disable\" | \"reset\"}.";
        return Ok(refused(HttpResponse::BadRequest(), ErrorKind::InvalidArguments, message));
    };
    let Some(supervisor) = door.supervisors.get(&ProviderName::from(provider.as_str())) else {
        let message = "There is no such provider; GET /api/breakers names those there are.";
        return Ok(refused(HttpResponse::NotFound(), ErrorKind::NotFound, message));
    };
    let catalogue = door.catalogue.get();
    let served = |model: &String| {
        catalogue.models().iter().find(|one| one.provider.as_str() == provider && one.id.as_str() == model)
    };
    let model = match &model {
        Some(model) => match served(model) {
            Some(known) => Some(known.id.clone()),
            None => {
                let message = "The provider has no such model; `listmodels` names those there are.";
                return Ok(refused(HttpResponse::NotFound(), ErrorKind::UnknownModel, message));
            }
        },
        None => None,
    };
    let named = model.as_ref().map_or("", ModelId::as_str);
    log::warn!(operator:%, provider = provider.as_str(), model = named, order:? = order; "an operator moves a breaker");
    let operation = Operate { model, order };
    if mail::ask(supervisor, operation, ASK_WITHIN).await.is_err() {
        let message = "The provider's supervisor is being restarted. Ask again in a moment.";
        return Ok(refused(HttpResponse::ServiceUnavailable(), ErrorKind::Internal, message));
    }
    Ok(standing(&door).await)
}

fn refused(mut response: actix_web::HttpResponseBuilder, kind: ErrorKind, message: &str) -> HttpResponse {
    response.json(json!({ "error": CallError::new(kind, message) }))
}
