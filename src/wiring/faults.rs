//! `POST /faults/{point}`, for tests only: plants one panic at a point of the product. It stands on the clients' port.

use actix_web::{HttpResponse, web};
use exai_actors::faults::{self, Point};

/// The route.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.route("/faults/{point}", web::post().to(arm));
}

async fn arm(name: web::Path<String>) -> HttpResponse {
    match Point::ALL.iter().find(|(known, _)| *known == name.as_str()) {
        Some((_, point)) => {
            faults::arm(*point, 1);
            HttpResponse::NoContent().finish()
        }
        None => HttpResponse::NotFound().finish(),
    }
}
