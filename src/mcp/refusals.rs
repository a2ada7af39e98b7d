//! What the MCP door answers over HTTP to a request that it does not take.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::session::NotAnUpgrade;

use super::connections::NoPlace;

/// When a client that found no place may come back.
const NO_PLACE_RETRY: Duration = Duration::from_secs(10);

/// No connection was free.
pub(super) fn refused_for_place(no_place: NoPlace) -> HttpResponse {
    let (status, kind, message) = match no_place {
        NoPlace::InAll => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::OverCapacity,
            "Every connection is taken; come back later.",
        ),
        NoPlace::FromHere => {
            let message = "Your address has too many connections; close some of them.";
            (StatusCode::TOO_MANY_REQUESTS, ErrorKind::RateLimited, message)
        }
    };
    refusal(status, &CallError::new(kind, message).retry_after(NO_PLACE_RETRY))
}

/// Connections come and go too fast.
pub(super) fn refused_for_rate(wait: Duration) -> HttpResponse {
    let message = "This token opens connections too fast; keep one and use it.";
    refusal(StatusCode::TOO_MANY_REQUESTS, &CallError::new(ErrorKind::RateLimited, message).retry_after(wait))
}

/// No WebSocket can be made of the request.
pub(super) fn refused_upgrade(not_an_upgrade: NotAnUpgrade) -> HttpResponse {
    let status = match not_an_upgrade {
        NotAnUpgrade::Plain | NotAnUpgrade::Version => StatusCode::UPGRADE_REQUIRED,
        NotAnUpgrade::Key => StatusCode::BAD_REQUEST,
    };
    refusal(status, &CallError::new(ErrorKind::InvalidArguments, not_an_upgrade.to_string()))
}

/// An error as an HTTP response, with the headers that its status asks for.
pub(super) fn refusal(status: StatusCode, error: &CallError) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 15.5.22 and RFC 6455 4.4 ask for these.
        response.insert_header((header::UPGRADE, "websocket"));
        response.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((header::ALLOW, "GET, POST, DELETE"));
    }
    if let Some(wait) = error.retry_after_ms {
        response.insert_header((header::RETRY_AFTER, wait.div_ceil(1000).to_string()));
    }
    response.json(serde_json::json!({ "error": error }))
}
