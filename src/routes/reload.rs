//! `POST /api/reload`: the operator has the settings read again.

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::error::{CallError, ErrorKind};
use serde_json::json;

use crate::routes::Door;
use crate::security::{Refusal, Scope};

/// Says what has changed, and what has to wait for a restart; settings that cannot be used change nothing.
pub(super) async fn reload(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    let operator = door.check(&request, Scope::Admin)?;
    log::info!(operator:%; "an operator has the settings read again");
    let reloaded = match &door.reloader {
        Some(reloader) => reloader.reload().await,
        None => Err("this server has no settings to read again".to_owned()),
    };
    Ok(match reloaded {
        Ok(done) => HttpResponse::Ok().json(done),
        Err(why) => {
            let error = CallError::new(ErrorKind::InvalidArguments, format!("Nothing has changed: {why}"));
            HttpResponse::UnprocessableEntity().json(json!({ "error": error }))
        }
    })
}
