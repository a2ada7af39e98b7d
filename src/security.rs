//! Who may come in: the Host and Origin of a request, then its token, before anything else is looked at. Refuses what it does not
//! know, compares in constant time, and never takes a token from a query.

mod browsers;
mod names;
#[cfg(test)]
mod tests;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::Principal;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Listen;
pub(crate) use browsers::{Browsers, COOKIE};
pub(crate) use names::{HostName, WebOrigin, host_pattern, origin_pattern};
pub(crate) use token::{Token, TokenError};

/// Whom the one token stands for.
const PRINCIPAL: &str = "local";

/// The check at both doors; clones share it.
#[derive(Clone)]
pub(crate) struct Gate {
    rules: Arc<Rules>,
}

struct Rules {
    hosts: Vec<HostName>,
    origins: Vec<WebOrigin>,
    /// SHA-256 of the token: digests have one length, so comparing them tells nothing about the token's.
    token: [u8; 32],
}

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
    /// It has no token, or a wrong one.
    #[error(
        "Present the token that `exai token` prints: `Authorization: Bearer TOKEN`, or as the password of Basic."
    )]
    Token,
    /// A page of ours sent it whose browser has not logged in, or no longer.
    #[error("Log in with the token that `exai token` prints.")]
    Login,
}

impl Gate {
    /// A gate for the doors at `bound`, the addresses that are really listened on, opened by `token`.
    pub(crate) fn new(listen: &Listen, bound: &[SocketAddr], token: &Token) -> Self {
        let own = bound.iter().copied().filter_map(HostName::of_socket);
        let hosts = own.chain(listen.allowed_hosts.iter().filter_map(|host| host_pattern(host))).collect();
        let origins = listen.allowed_origins.iter().filter_map(|origin| origin_pattern(origin)).collect();
        Self { rules: Arc::new(Rules { hosts, origins, token: digest(token.reveal()) }) }
    }

    /// Who sends this request, or why it is not let in.
    pub(crate) fn check(&self, request: &HttpRequest) -> Result<Principal, Refusal> {
        self.place(request)?;
        let presented = presented(request).ok_or(Refusal::Token)?;
        if self.is_token(&presented) { Ok(PRINCIPAL.into()) } else { Err(Refusal::Token) }
    }

    /// Whether the request calls this server by its name, and comes from no foreign page; its token is not looked at.
    pub(crate) fn place(&self, request: &HttpRequest) -> Result<(), Refusal> {
        let host = self.host(request)?;
        self.origin(request, &host)
    }

    /// Whether the request says from which page it comes; only after [`Gate::place`] is that one of ours.
    pub(crate) fn names_its_page(request: &HttpRequest) -> bool {
        request.headers().contains_key(ORIGIN)
    }

    /// Whether it presents anything as a token.
    pub(crate) fn presents(request: &HttpRequest) -> bool {
        request.headers().contains_key(AUTHORIZATION)
    }

    /// Whether this is the token.
    pub(crate) fn is_token(&self, presented: &str) -> bool {
        digest(presented).ct_eq(&self.rules.token).into()
    }

    fn host(&self, request: &HttpRequest) -> Result<HostName, Refusal> {
        let host = only(request, HOST).flatten().and_then(host_pattern).ok_or(Refusal::Host)?;
        let known = |asked: &HostName| {
            asked.is_loopback() || self.rules.hosts.iter().any(|pattern| pattern.covers(asked))
        };
        // An absolute request target names a host too, and wins over the header for some (RFC 9112, section 3.2.2).
        let target = request.head().uri.authority().map(|target| host_pattern(target.as_str()));
        let target_known = target.is_none_or(|target| target.as_ref().is_some_and(known));
        if known(&host) && target_known { Ok(host) } else { Err(Refusal::Host) }
    }

    fn origin(&self, request: &HttpRequest, host: &HostName) -> Result<(), Refusal> {
        // Without the header it is not a browser's.
        let Some(origin) = only(request, ORIGIN).ok_or(Refusal::Origin)? else { return Ok(()) };
        let origin = origin_pattern(origin).ok_or(Refusal::Origin)?;
        let allowed = self.rules.origins.contains(&origin) || origin.is_own_loopback_page(host);
        if allowed { Ok(()) } else { Err(Refusal::Origin) }
    }
}

/// The one value of a header: `Some(None)` when it is missing, none when it is there twice or is not text.
fn only(request: &HttpRequest, name: HeaderName) -> Option<Option<&str>> {
    let mut values = request.headers().get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

/// The token that the request presents, right or wrong.
fn presented(request: &HttpRequest) -> Option<String> {
    let (scheme, value) = only(request, AUTHORIZATION)??.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl Refusal {
    fn what(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Token => "token",
            Self::Login => "login",
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token | Self::Login => StatusCode::UNAUTHORIZED,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let error = CallError::new(ErrorKind::Unauthorized, self.to_string()).with("refused", self.what());
        let mut response = HttpResponse::build(self.status_code());
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
        response.json(serde_json::json!({ "error": error }))
    }
}
