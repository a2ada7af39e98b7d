//! `GET /metrics`: the sums as Prometheus and its kin read them (OpenMetrics 1.0). It reads what is published and waits for no actor.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::routes::Door;
use crate::security::{Refusal, Scope};

/// The media type of the OpenMetrics text format (OpenMetrics 1.0, "Protocol Negotiation").
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(super) async fn scrape(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    Ok(HttpResponse::Ok().content_type(OPENMETRICS).body(door.scrape.text()))
}
