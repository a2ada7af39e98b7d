//! Why a request is not let in, and how it is told. The texts name no token.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use exai_actors::error::{CallError, ErrorKind};

use super::scopes::Scope;

/// A request that is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It calls this server by a name that is not its own: DNS rebinding, or a name that is not configured.
    #[error("This server does not go by that host name. Add the name to listen.allowed_hosts if it should.")]
    Host,
    /// A web page of another origin sent it.
    #[error(
        "Pages of that origin may not use this server. Add the origin to listen.allowed_origins if they should."
    )]
    Origin,
    /// It has a token in its address.
    #[error(
        "A token does not belong into an address, which logs keep: send it as `Authorization: Bearer TOKEN` (or ws://exai:TOKEN@host/mcp, which clients turn into a header), and replace the token you just sent."
    )]
    Query,
    /// It has no token, or a wrong one.
    #[error(
        "Present the token that `exai token` prints: `Authorization: Bearer TOKEN`, or as the password of Basic."
    )]
    Token,
    /// A page of ours sent it whose browser has not logged in, or no longer.
    #[error("Log in with the token that `exai token` prints.")]
    Login,
    /// Its address presented too many wrong tokens; it may come back after this.
    #[error(
        "Too many wrong tokens came from your address. Wait, and then present the token that `exai token` prints."
    )]
    TooManyGuesses(Duration),
    /// Its token does not open this.
    #[error("This token does not have the scope `{0}`. Use one that has: `exai token add NAME --scope {0}`.")]
    Scope(Scope),
}

impl Refusal {
    /// The same, told to a page that asks for the token by itself.
    pub(crate) fn before_a_page(self) -> Self {
        if self == Self::Token { Self::Login } else { self }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Query => "query",
            Self::Token => "token",
            Self::Login => "login",
            Self::TooManyGuesses(_) => "guesses",
            Self::Scope(_) => "scope",
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Host | Self::Origin | Self::Scope(_) => StatusCode::FORBIDDEN,
            Self::Query => StatusCode::BAD_REQUEST,
            Self::Token | Self::Login => StatusCode::UNAUTHORIZED,
            Self::TooManyGuesses(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        let mut error = CallError::new(ErrorKind::Unauthorized, self.to_string());
        if let Self::TooManyGuesses(wait) = *self {
            error = CallError::new(ErrorKind::RateLimited, self.to_string()).retry_after(wait);
            response.insert_header((RETRY_AFTER, (wait.as_secs() + 1).to_string()));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.append_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"exai\"")));
        }
        // A browser would ask for a password by itself, in front of our own page.
        if *self == Self::Token {
            response.append_header((
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"exai\", charset=\"UTF-8\""),
            ));
        }
        response.json(serde_json::json!({ "error": error.with("refused", self.what()) }))
    }
}
