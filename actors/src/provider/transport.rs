//! What a failed transport means: the HTTP client's errors in, a class out. Pure; a table.

use std::io;
use std::time::Duration;

use actix_http::error::ParseError;
use awc::error::{ConnectError, PayloadError, SendRequestError};

use super::client::WentOn;
use super::messages::FailureClass;

/// A peer that had closed its side answers the first packet with a reset, a round trip later.
const STALE_WITHIN: Duration = Duration::from_secs(2);

/// What a request without a response died of, on what it went out and how long after.
pub(super) fn of_send_error(error: &SendRequestError, went_on: WentOn, after: Duration) -> FailureClass {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) => died(went_on, after),
        SendRequestError::Connect(_) | SendRequestError::Url(_) => FailureClass::Connect,
        SendRequestError::Send(io) | SendRequestError::Response(ParseError::Io(io))
            if io.kind() != io::ErrorKind::Other =>
        {
            died(went_on, after)
        }
        // A part of a response had come.
        SendRequestError::Response(ParseError::Io(_) | ParseError::Incomplete) => FailureClass::Reset,
        SendRequestError::Response(_) | SendRequestError::H2(_) | SendRequestError::TunnelNotSupported => {
            FailureClass::Garbage
        }
        SendRequestError::Timeout => FailureClass::Timeout,
        // The connection stood, and ended while the request was on its way.
        SendRequestError::Send(_)
        | SendRequestError::Body(_)
        | SendRequestError::Http(_)
        | SendRequestError::Custom(..)
        | _ => FailureClass::Reset,
    }
}

/// A connection died before a byte came. One that had waited in the pool was closed by the other side at its own time: nobody has
/// read the request. Whatever took longer to die may have been at work.
fn died(went_on: WentOn, after: Duration) -> FailureClass {
    match went_on {
        WentOn::Reused if after < STALE_WITHIN => FailureClass::Stale,
        WentOn::Reused | WentOn::New => FailureClass::Reset,
    }
}

/// What a body without its end died of.
pub(super) fn of_payload_error(error: &PayloadError) -> FailureClass {
    if matches!(error, PayloadError::Incomplete(_) | PayloadError::Io(_)) {
        FailureClass::BrokenStream
    } else {
        FailureClass::Garbage
    }
}
