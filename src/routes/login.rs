//! Logging in and out: the token is posted once, and a cookie that no script can read comes back.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::clock;
use exai_actors::error::{CallError, ErrorKind};
use serde::Deserialize;
use serde_json::json;

use crate::routes::Door;
use crate::security::{Browsers, COOKIE, Refusal, Scope};

/// `POST /api/login`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// `POST /api/login`: `{"token": TOKEN}` for a cookie.
pub(super) async fn enter(
    request: HttpRequest,
    door: web::Data<Door>,
    body: web::Bytes,
) -> Result<HttpResponse, Refusal> {
    let Login { token } = serde_json::from_slice(&body).map_err(|_| Refusal::Login)?;
    let token = token.trim();
    let caller = door.gate.whose(&request, token).map_err(Refusal::before_a_page)?;
    if !caller.may(Scope::Dashboard) {
        return Err(Refusal::Scope(Scope::Dashboard));
    }
    let Some(secret) = door.browsers.enter(token, clock::now()) else {
        let error =
            CallError::new(ErrorKind::Internal, "The system gives no randomness; log in again later.");
        return Ok(HttpResponse::InternalServerError().json(json!({ "error": error })));
    };
    let lasts = Duration::try_from(Browsers::lasts()).unwrap_or(Duration::ZERO);
    let cookie = cookie(secret).max_age(lasts).finish();
    Ok(HttpResponse::Ok().cookie(cookie).json(json!({ "status": "welcome" })))
}

/// `POST /api/logout`: the cookie opens nothing any more.
pub(super) async fn leave(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    if let Some(held) = request.cookie(COOKIE) {
        door.browsers.leave(held.value());
    }
    let gone = cookie(String::new()).max_age(Duration::ZERO).finish();
    Ok(HttpResponse::Ok().cookie(gone).json(json!({ "status": "goodbye" })))
}

fn cookie(secret: String) -> actix_web::cookie::CookieBuilder<'static> {
    Cookie::build(COOKIE, secret).path("/").http_only(true).same_site(SameSite::Strict)
}
