//! The dashboard's door: what people and probes may ask over HTTP. Every answer of a probe is a snapshot that is there already and
//! waits for no actor.

mod answer;
mod assets;
mod breakers;
mod calls;
mod door;
mod events;
mod exposition;
mod feed;
mod health;
mod history;
mod login;
mod metrics;
mod monitor;
mod observations;
mod panel;
mod process;
mod reload;
mod sessions;
mod trial;

use actix_web::http::header;
use actix_web::middleware::{Compress, DefaultHeaders, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, guard};
use exai_actors::error::{CallError, ErrorKind};

use crate::security::doorkeeper;

pub(crate) use assets::Folder;
pub(crate) use door::Door;
pub(crate) use exposition::Scrape;
pub(crate) use panel::Panel;
pub(crate) use process::resident_bytes;

/// The largest body that a request here may have, in bytes.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// The routes of the dashboard's port, for `App::configure`.
pub(crate) fn dashboard(door: Door, panel: Option<Panel>) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        let get = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        let resource = |path: &str| web::resource(path).default_service(web::to(wrong_method));
        if let Some(panel) = panel {
            app.app_data(web::Data::new(panel));
        }
        let scope = web::scope("")
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .wrap(from_fn(doorkeeper))
            .wrap(security_headers())
            .wrap(from_fn(monitor::tell))
            .app_data(web::Data::new(door.gate.clone()))
            .app_data(web::Data::new(door))
            .service(resource("/health/live").route(get().to(health::live)))
            .service(resource("/health/ready").route(get().to(health::ready)))
            .service(resource("/health").route(get().to(health::report)))
            .service(resource("/").wrap(Compress::default()).route(get().to(assets::index)))
            .service(
                resource("/static/{folder}/{name}").wrap(Compress::default()).route(get().to(assets::file)),
            )
            .service(resource("/feed").route(web::get().to(feed::open)))
            .service(resource("/api/login").route(web::post().to(login::enter)))
            .service(resource("/api/logout").route(web::post().to(login::leave)))
            .service(resource("/api/calls/{id}").route(get().to(calls::story)))
            .service(resource("/api/calls/{id}/cancel").route(web::post().to(calls::cancel)))
            .service(resource("/api/conversations").route(get().to(history::conversations)))
            .service(resource("/api/conversations/{id}/read").route(web::post().to(calls::content)))
            .service(resource("/api/sessions/{id}/disconnect").route(web::post().to(sessions::disconnect)))
            .service(resource("/api/observations").route(get().to(observations::list)))
            .service(
                resource("/api/observations/acknowledge")
                    .route(web::post().to(observations::acknowledge_all)),
            )
            .service(
                resource("/api/observations/{id}/acknowledge")
                    .route(web::post().to(observations::acknowledge)),
            )
            .service(resource("/api/trial").route(web::post().to(trial::run)))
            .service(resource("/api/history").route(get().to(history::metrics)))
            .service(resource("/api/config").route(get().to(history::config)))
            .service(resource("/metrics").route(get().to(metrics::scrape)))
            .service(resource("/api/events").route(get().to(events::list)))
            .service(
                resource("/api/breakers")
                    .route(get().to(breakers::list))
                    .route(web::post().to(breakers::operate)),
            )
            .service(web::resource("/api/reload").route(web::post().to(reload::reload)))
            .default_service(web::to(not_found));
        app.service(scope);
    }
}

/// Nothing here is to be framed, sniffed, cached or read by another site (OWASP secure headers).
fn security_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::CACHE_CONTROL, "no-store"))
        .add((header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .add((header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
}

async fn not_found() -> HttpResponse {
    let error =
        CallError::new(ErrorKind::NotFound, "There is nothing at this path. /health says how the server is.");
    HttpResponse::NotFound().json(serde_json::json!({ "error": error }))
}

/// What the clients' port says of every path but its one.
pub(crate) async fn nothing_but_mcp() -> HttpResponse {
    let error = CallError::new(ErrorKind::NotFound, "There is nothing at this path. MCP is at /mcp.");
    HttpResponse::NotFound().json(serde_json::json!({ "error": error }))
}

async fn wrong_method() -> HttpResponse {
    let error = CallError::new(ErrorKind::InvalidArguments, "This path does not take that method.");
    HttpResponse::MethodNotAllowed()
        .insert_header((header::ALLOW, "GET, HEAD"))
        .json(serde_json::json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::App;
    use actix_web::http::StatusCode;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use exai_actors::clock::{self, UtcMillis};
    use exai_actors::health::{HealthBoard, Status};
    use exai_actors::models::{Catalogue, CurrentCatalogue};
    use serde_json::Value;

    use super::*;
    use crate::config::{Listen, Secret};
    use crate::security::{Browsers, Gate, Token};

    const TOKEN: &str = "correct-horse-battery-staple";

    async fn ask(health: &HealthBoard, request: TestRequest) -> (StatusCode, Value) {
        let gate = Gate::new(&Listen::default(), &[], &Token::from_secret(Secret::from(TOKEN)));
        let door = Door {
            gate,
            reloader: None,
            health: health.clone(),
            started: clock::now(),
            supervisors: Arc::default(),
            scrape: Scrape::nothing(),
            catalogue: CurrentCatalogue::fixed(Catalogue::new(std::iter::empty()).unwrap()),
            browsers: Browsers::default(),
            folder: Folder::default(),
        };
        let app = init_service(App::new().configure(dashboard(door, None))).await;
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(
            response.headers().get("x-content-type-options").map(|value| value.as_bytes()),
            Some(&b"nosniff"[..])
        );
        (response.status(), read_body_json(response).await)
    }

    fn get(path: &str) -> TestRequest {
        let authorization = ("authorization", format!("Bearer {TOKEN}"));
        TestRequest::get().uri(path).insert_header(("host", "localhost:8080")).insert_header(authorization)
    }

    fn board(parts: &[(&str, Status)]) -> HealthBoard {
        let board = HealthBoard::default();
        for (part, status) in parts {
            board.set(part, *status, "as planned", UtcMillis(7));
        }
        board
    }

    #[actix_web::test]
    async fn ready_means_storage_is_there_and_nothing_drains() {
        let table = [
            (board(&[]), StatusCode::SERVICE_UNAVAILABLE),
            (board(&[("storage", Status::Ok)]), StatusCode::OK),
            (board(&[("storage", Status::Degraded), ("dispatcher", Status::Ok)]), StatusCode::OK),
            (board(&[("storage", Status::Down)]), StatusCode::SERVICE_UNAVAILABLE),
            (
                board(&[("storage", Status::Ok), ("dispatcher", Status::Down)]),
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (board(&[("storage", Status::Ok), ("provider:kimi", Status::Down)]), StatusCode::OK),
            (board(&[("storage", Status::Ok), ("actors", Status::Degraded)]), StatusCode::OK),
            (board(&[("storage", Status::Ok), ("actors", Status::Down)]), StatusCode::SERVICE_UNAVAILABLE),
        ];
        for (board, status) in table {
            let probe = TestRequest::get().uri("/health/ready").insert_header(("host", "10.0.0.9:8080"));
            assert_eq!(ask(&board, probe).await.0, status, "{board:?}");
        }
        let probe = TestRequest::get().uri("/health/live");
        assert_eq!(ask(&board(&[("storage", Status::Down)]), probe).await.0, StatusCode::OK);
    }

    #[actix_web::test]
    async fn the_report_names_every_part_and_degraded_is_still_up() {
        let parts = [("storage", Status::Ok), ("provider:kimi", Status::Down), ("provider:glm", Status::Ok)];
        let (status, body) = ask(&board(&parts), get("/health")).await;
        assert_eq!((status, &body["status"]), (StatusCode::OK, &"degraded".into()));
        assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(
            body["components"]["provider:kimi"],
            serde_json::json!({ "status": "down", "detail": "as planned", "since": 7 })
        );
        let (status, body) = ask(&board(&[("storage", Status::Down)]), get("/health")).await;
        assert_eq!((status, &body["status"]), (StatusCode::SERVICE_UNAVAILABLE, &"down".into()));
    }

    #[actix_web::test]
    async fn metrics_have_every_name_of_the_contract_behind_the_token() {
        let text = Scrape::nothing().text();
        for name in [
            "calls_total",
            "upstream_requests_total",
            "messages_total",
            "sessions_active",
            "sessions_total",
            "call_seconds",
            "queue_seconds",
            "first_token_seconds",
            "tokens_total",
            "cost_usd_total",
            "permits_in_use",
            "permits_limit",
            "breaker_state",
            "breaker_transitions_total",
            "retries_total",
            "cache_operations_total",
            "storage_batch_rows",
            "storage_commit_seconds",
            "spool_rows",
            "actor_restarts_total",
            "dropped_total",
            "files_total",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
            "event_loop_lag_seconds",
        ] {
            // OpenMetrics describes a counter without its ending.
            let described = format!("# TYPE exai_{} ", name.trim_end_matches("_total"));
            assert!(text.contains(&described), "{described}\n{text}");
        }
        assert!(
            text.contains("exai_process_start_time_seconds 1.5\n") && text.ends_with("# EOF\n"),
            "{text}"
        );
        for bound in ["0.025", "0.05", "0.1", "+Inf"] {
            assert!(text.contains(&format!("exai_call_seconds_bucket{{le=\"{bound}\"}} 0\n")), "{text}");
        }
        let stranger = TestRequest::get().uri("/metrics").insert_header(("host", "localhost"));
        assert_eq!(ask(&board(&[]), stranger).await.0, StatusCode::UNAUTHORIZED);
    }

    #[actix_web::test]
    async fn strangers_strange_paths_and_strange_methods() {
        let up = board(&[("storage", Status::Ok)]);
        let stranger = TestRequest::get().uri("/health").insert_header(("host", "localhost"));
        assert_eq!(ask(&up, stranger).await.0, StatusCode::UNAUTHORIZED);
        let rebound = get("/health").insert_header(("host", "evil.example"));
        assert_eq!(ask(&up, rebound).await.0, StatusCode::FORBIDDEN);
        let (status, body) = ask(&up, get("/nothing")).await;
        assert_eq!((status, &body["error"]["kind"]), (StatusCode::NOT_FOUND, &"not_found".into()));
        assert_eq!(
            ask(&up, get("/health").method(actix_web::http::Method::POST)).await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
