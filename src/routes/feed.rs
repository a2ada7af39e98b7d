//! `GET /feed`: the live picture over a WebSocket.

use actix_http::ws::CloseCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::feed::Feed;
use exai_actors::session::{self, messages::Settings};
use serde_json::json;

use crate::routes::{Door, Panel};
use crate::security::Scope;

/// Browsers at the same time.
const BROWSERS_MAX: usize = 256;
/// A browser asks for the whole picture and says nothing else.
const MESSAGE_BYTES_MAX: usize = 256;

/// Opens the socket.
pub(super) async fn open(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
) -> HttpResponse {
    let pass = match door.admit(&request, Scope::Dashboard) {
        Ok(pass) => pass,
        Err(refusal) => return refusal.error_response(),
    };
    if panel.watched.browsers() >= BROWSERS_MAX {
        let error = CallError::new(ErrorKind::OverCapacity, "Too many browsers watch; close one of them.");
        return HttpResponse::ServiceUnavailable().json(json!({ "error": error }));
    }
    let settings = Settings { message_bytes_max: MESSAGE_BYTES_MAX, ..Settings::new(|_| None) };
    match session::start(&request, payload, &[], settings, Box::new(())) {
        Ok((response, link)) => {
            let outbox = link.outbox.clone();
            actix_web::rt::spawn(async move {
                tokio::select! {
                    () = pass.revoked() => outbox.close(CloseCode::Policy).await,
                    () = outbox.gone() => {}
                }
            });
            Feed::start(link, panel.watched.clone());
            response
        }
        Err(error) => {
            let error = CallError::new(ErrorKind::InvalidArguments, error.to_string());
            HttpResponse::UpgradeRequired().json(json!({ "error": error }))
        }
    }
}
