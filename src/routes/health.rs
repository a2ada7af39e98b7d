//! The health of the process, from the health board alone: a probe never waits for an actor, so it answers while one hangs.

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::clock;
use exai_actors::health::{HealthBoard, Status};
use exai_actors::storage_writer::COMPONENT as STORAGE;
use serde_json::json;

use crate::routes::Door;
use crate::security::{Refusal, Scope};
use crate::vitals::ACTORS;

/// The part that takes calls; `Down` while it drains, and when it is gone.
const DISPATCHER: &str = "dispatcher";

/// `GET /health/live`: 200 as long as the process turns. Open to all: it says nothing else.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}

/// `GET /health/ready`: 200 when calls are taken, else 503 and why. Open to all, whatever name they use: probes know no token,
/// and an orchestrator calls by address.
pub(super) async fn ready(door: web::Data<Door>) -> HttpResponse {
    match unready(&door.health) {
        None => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Some(reason) => {
            HttpResponse::ServiceUnavailable().json(json!({ "status": "not ready", "reason": reason }))
        }
    }
}

/// `GET /health`: every part with its status, and the worst of it. One provider that is down leaves the whole degraded: the others
/// answer, and a restart would not help.
pub(super) async fn report(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    let overall = if unready(&door.health).is_some() {
        Status::Down
    } else {
        door.health.worst().min(Status::Degraded)
    };
    let mut response = match overall {
        Status::Ok | Status::Degraded => HttpResponse::Ok(),
        Status::Down => HttpResponse::ServiceUnavailable(),
    };
    Ok(response.json(json!({
        "status": overall,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": clock::now().duration_since(door.started).as_secs(),
        "components": door.health.snapshot(),
    })))
}

/// Why calls are not taken.
fn unready(health: &HealthBoard) -> Option<&'static str> {
    match health.get(STORAGE).map(|storage| storage.status) {
        None => return Some("starting"),
        Some(Status::Down) => return Some("the database is not available"),
        Some(Status::Ok | Status::Degraded) => {}
    }
    if health.get(ACTORS).is_some_and(|actors| actors.status == Status::Down) {
        return Some("a thread that calls need stands still");
    }
    match health.get(DISPATCHER).map(|dispatcher| dispatcher.status) {
        Some(Status::Down) => Some("draining"),
        Some(Status::Ok | Status::Degraded) | None => None,
    }
}
