//! `/echo`, for tests only: gives every message back over the same session and the same codec as the product, so that the
//! conformance suite of RFC 6455 (Autobahn, cases 1 to 7 and 10) tests what the product does.

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::session;
use exai_actors::session::messages::{Binary, Settings};

/// The route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/echo", web::get().to(echo));
}

async fn echo(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    // The suite's largest messages are 16 MiB.
    let settings = Settings {
        binary: Binary::Echoed,
        message_bytes_max: 16 * 1024 * 1024,
        ..Settings::new(|text| Some(text.to_owned()))
    };
    match session::start(&request, payload, &[], settings, Box::new(())) {
        Ok((response, mut link)) => {
            actix_web::rt::spawn(async move {
                while let Some(text) = link.inbound.recv().await {
                    link.outbox.send(text, None).await;
                }
            });
            response
        }
        Err(refused) => HttpResponse::UpgradeRequired().body(refused.to_string()),
    }
}
