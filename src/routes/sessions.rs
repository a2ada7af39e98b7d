//! The clients that are connected: the operator may close one's connection. Who they are comes over `/feed`.

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::ids::SessionId;

use crate::routes::answer::{found, nothing_there};
use crate::routes::{Door, Panel};
use crate::security::{Refusal, Scope};

/// `POST /api/sessions/ID/disconnect`: Close 1008; its calls go on.
pub(super) async fn disconnect(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let operator = door.check(&request, Scope::Admin)?;
    let Ok(session) = id.parse::<SessionId>() else { return Ok(nothing_there()) };
    panel.audit((&request, &operator), "operator_disconnects", &id, None);
    if panel.sessions.disconnect(session) {
        return Ok(found(&serde_json::json!({ "status": "disconnected" })));
    }
    Ok(nothing_there())
}
