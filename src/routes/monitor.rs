//! Tells the connection monitor of every request at the dashboard's port: from where, how it ended, how long it took. Never its
//! path, for a stranger writes what he likes there.

use std::sync::Arc;

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use exai_actors::clock;
use exai_actors::events::{self, Direction, Facts, Kind, Lot, Weight};

/// Handles a request and tells of it.
pub(super) async fn tell<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let (peer, began) = (request.peer_addr(), clock::now());
    let answered = next.call(request).await;
    let (status, bytes) = match &answered {
        Ok(answer) => (answer.status(), bytes_of(answer.response().body().size())),
        Err(error) => (error.as_response_error().status_code(), 0),
    };
    let is_refusal = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
    let (word, weight) = if is_refusal { ("refused", Weight::Lasting) } else { ("status", Weight::Frequent) };
    let outcome = format!("{word}_{}", status.as_u16()).into();
    let lot = Lot { kind: Kind::Http, direction: Direction::In, outcome, weight };
    events::note(lot, || Facts {
        peer: Arc::from(peer.map(|peer| peer.to_string()).unwrap_or_default()),
        bytes,
        took: clock::now() - began,
        call: None,
    });
    answered
}

fn bytes_of(size: BodySize) -> usize {
    match size {
        BodySize::Sized(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        BodySize::None | BodySize::Stream => 0,
    }
}
