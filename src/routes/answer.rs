//! How the data routes answer.

use actix_web::HttpResponse;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::storage::StorageError;
use serde::Serialize;
use serde_json::json;

/// What was asked for.
pub(super) fn found(what: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(what)
}

/// 404.
pub(super) fn nothing_there() -> HttpResponse {
    let error = CallError::new(ErrorKind::NotFound, "There is no such thing, or it is gone already.");
    HttpResponse::NotFound().json(json!({ "error": error }))
}

/// 400, and why.
pub(super) fn refused(sentence: String) -> HttpResponse {
    let error = CallError::new(ErrorKind::InvalidArguments, sentence);
    HttpResponse::BadRequest().json(json!({ "error": error }))
}

/// What the database said, or 503.
pub(super) fn read<T: Serialize>(read: Result<T, StorageError>) -> HttpResponse {
    match read {
        Ok(rows) => found(&json!({ "rows": rows })),
        Err(error) => {
            log::warn!("the dashboard could not read: {error}");
            let message = "The database cannot be read now; /health says why. Ask again in a moment.";
            let error = CallError::new(ErrorKind::StorageUnavailable, message);
            HttpResponse::ServiceUnavailable().json(json!({ "error": error }))
        }
    }
}
