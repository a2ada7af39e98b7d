//! `POST /api/reload`: the operator has the settings read again.

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::error::{CallError, ErrorKind};
use serde_json::json;

use crate::routes::Door;
use crate::security::{Refusal, Scope};
use crate::wiring::Reload;

/// Says what has changed, what has to wait for a restart, and what failed on the way; settings that cannot be used change nothing.
pub(super) async fn reload(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    let operator = door.check(&request, Scope::Admin)?;
    log::info!(operator:%; "an operator has the settings read again");
    let reloaded = match &door.reloader {
        Some(reloader) => reloader.reload().await,
        None => Err("this server has no settings to read again".to_owned()),
    };
    Ok(match reloaded {
        Ok(done) if done.failed.is_empty() => HttpResponse::Ok().json(done),
        Ok(done) => {
            let failed = done.failed.join(", ");
            let message = format!("Not known to be in force: {failed}. Reload again.");
            let error = CallError::new(ErrorKind::Internal, message);
            let Reload { changed, restart, failed } = done;
            HttpResponse::InternalServerError()
                .json(json!({ "error": error, "changed": changed, "restart": restart, "failed": failed }))
        }
        Err(why) => {
            let error = CallError::new(ErrorKind::InvalidArguments, format!("Nothing has changed: {why}"));
            HttpResponse::UnprocessableEntity().json(json!({ "error": error }))
        }
    })
}
