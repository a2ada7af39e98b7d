//! What the auditor saw, and the operator's note of it.

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::clock::{self, UtcMillis};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::storage::rows::history::{Acknowledgement, Which};
use exai_actors::storage_writer::messages::{Record, Written};
use exai_actors::storage_writer::write;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::routes::answer::{found, nothing_there, read, refused};
use crate::routes::{Door, Panel};
use crate::security::{Refusal, Scope};

/// Observations that are shown.
const SHOWN: u16 = 500;

/// Up to when everything is noted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Until {
    until: i64,
}

/// `GET /api/observations`: what the auditor saw last.
pub(super) async fn list(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    Ok(read(panel.store.observations(SHOWN).await))
}

/// `POST /api/observations/ID/acknowledge`.
pub(super) async fn acknowledge(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let by = door.check(&request, Scope::Admin)?;
    let Ok(one) = id.parse::<Uuid>() else { return Ok(nothing_there()) };
    panel.audit((&request, &by), "operator_acknowledges_one", &one.to_string(), None);
    Ok(note(&panel, Acknowledgement { which: Which::One(one), by, at: clock::utc_now() }).await)
}

/// `POST /api/observations/acknowledge`: `{"until": MILLISECONDS}`, every one up to the newest that was shown.
pub(super) async fn acknowledge_all(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    body: web::Bytes,
) -> Result<HttpResponse, Refusal> {
    let by = door.check(&request, Scope::Admin)?;
    let Ok(Until { until }) = serde_json::from_slice(&body) else {
        let words =
            "The body must be {\"until\": MILLISECONDS}, the time of the newest observation that was seen.";
        return Ok(refused(words.to_owned()));
    };
    panel.audit((&request, &by), "operator_acknowledges_all", &until.to_string(), None);
    Ok(note(&panel, Acknowledgement { which: Which::Until(UtcMillis(until)), by, at: clock::utc_now() })
        .await)
}

async fn note(panel: &Panel, noted: Acknowledgement) -> HttpResponse {
    let one = matches!(noted.which, Which::One(_));
    match write(&panel.writer, Record::Acknowledged(noted)).await {
        Ok(Written::Acknowledged(0)) if one => nothing_there(),
        Ok(Written::Acknowledged(rows)) => found(&json!({ "acknowledged": rows })),
        Ok(_) | Err(_) => {
            let message =
                "The database takes no writes now; /health says why. Acknowledge again in a moment.";
            let error = CallError::new(ErrorKind::StorageUnavailable, message);
            HttpResponse::ServiceUnavailable().json(json!({ "error": error }))
        }
    }
}
