//! One call: its story, its end by the operator's word, and what was said where the operator asks for that.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::dispatcher::EndCall;
use exai_actors::ids::{CallId, ConversationId};
use exai_actors::mail;

use crate::routes::answer::{found, nothing_there, read};
use crate::routes::{Door, Panel};
use crate::security::{Refusal, Scope};

/// How long the dispatcher may take.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// `GET /api/calls/ID`: what the journal has of it; no content.
pub(super) async fn story(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    let Ok(call) = id.parse::<CallId>() else { return Ok(nothing_there()) };
    Ok(match panel.store.call_story(call).await {
        Ok(Some(story)) => found(&story),
        Ok(None) => nothing_there(),
        Err(error) => read::<()>(Err(error)),
    })
}

/// `POST /api/calls/ID/cancel`: ends it for everyone who waits for it.
pub(super) async fn cancel(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let operator = door.check(&request, Scope::Admin)?;
    let Ok(call) = id.parse::<CallId>() else { return Ok(nothing_there()) };
    panel.audit((&request, &operator), "operator_cancels_call", &id, Some(call));
    Ok(match mail::ask(&panel.dispatcher, EndCall { call }, ASK_WITHIN).await {
        Ok(true) => found(&serde_json::json!({ "status": "cancelled" })),
        Ok(false) | Err(_) => nothing_there(),
    })
}

/// `POST /api/conversations/ID/read`: what was said; a word that is asked for, and noted.
pub(super) async fn content(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let operator = door.check(&request, Scope::Admin)?;
    let Ok(conversation) = id.parse::<ConversationId>() else { return Ok(nothing_there()) };
    panel.audit((&request, &operator), "operator_reads_conversation", &id, None);
    Ok(read(panel.store.read_turns(conversation).await))
}
