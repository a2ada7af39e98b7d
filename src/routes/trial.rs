//! `POST /api/trial`: the operator's test, on scratch keys.

use std::error::Error;

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::error::{CallError, ErrorKind};
use serde_json::json;

use crate::routes::answer::found;
use crate::routes::{Door, Panel};
use crate::security::{Refusal, Scope};

/// Runs it; one at a time.
pub(super) async fn run(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
) -> Result<HttpResponse, Refusal> {
    let operator = door.check(&request, Scope::Admin)?;
    let Some(place) = panel.trials.place() else {
        let error = CallError::new(ErrorKind::Conflict, "A test is running already; wait for its end.");
        return Ok(HttpResponse::Conflict().json(json!({ "error": error })));
    };
    panel.audit((&request, &operator), "operator_runs_trial", "trial", None);
    Ok(match panel.trials.run(place).await {
        Ok(report) => found(&report),
        Err(error) => {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            log::warn!("the operator's test could not be run: {error}{source}");
            let message = format!("The test could not be run: {error}. The log says more.");
            HttpResponse::ServiceUnavailable()
                .json(json!({ "error": CallError::new(ErrorKind::Internal, message) }))
        }
    })
}
