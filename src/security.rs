//! Who may come in: the Host and Origin of a request, then its token, before anything else is looked at. Refuses what it does not
//! know, compares in constant time, and never takes a token from a query.

mod browsers;
pub(crate) mod keyring;
mod names;
mod pass;
mod refusal;
mod scopes;
#[cfg(test)]
mod tests;
mod throttle;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, ResponseError, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use exai_actors::clock;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::config::Listen;
pub(crate) use browsers::{Browsers, COOKIE};
use keyring::{Entries, Keyring};
pub(crate) use names::{HostName, WebOrigin, host_pattern, origin_pattern};
pub(crate) use pass::{Pass, watch};
pub(crate) use refusal::Refusal;
pub(crate) use scopes::{Caller, Scope};
use throttle::{Guess, Throttle};
pub(crate) use token::{Token, TokenError};

/// The parameters under which clients would send a token in a query, where every log on the way keeps it.
const TOKEN_PARAMETERS: [&str; 9] = [
    "token",
    "access_token",
    "exai_token",
    "auth",
    "authorization",
    "bearer",
    "api_key",
    "apikey",
    "password",
];
/// What needs neither a name nor a token.
const PROBES: [&str; 2] = ["/health/live", "/health/ready"];
/// What a proxy writes the address of its client into.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The check at both doors; clones share it.
#[derive(Clone)]
pub(crate) struct Gate {
    rules: Arc<Rules>,
}

struct Rules {
    hosts: Vec<HostName>,
    origins: Vec<WebOrigin>,
    proxies: Vec<IpAddr>,
    /// SHA-256 of the token without a name: digests have one length, so comparing them tells nothing about the token's.
    token: [u8; 32],
    keyring: Keyring,
    /// Locked for a few instructions, and only where a token is presented: one count for all worker threads.
    throttle: Mutex<Throttle>,
}

impl Gate {
    /// A gate for the doors at `bound`, the addresses that are really listened on, opened by `token` alone.
    #[cfg(test)]
    pub(crate) fn new(listen: &Listen, bound: &[SocketAddr], token: &Token) -> Self {
        Self::of(listen, bound, token, Keyring::none())
    }

    /// A gate for the doors at `bound`, opened by `token` and by the named tokens of the file at `tokens`.
    pub(crate) fn open(
        listen: &Listen,
        bound: &[SocketAddr],
        token: &Token,
        tokens: Option<&Path>,
    ) -> Result<Self, TokenError> {
        Ok(Self::of(listen, bound, token, Keyring::open(tokens)?))
    }

    fn of(listen: &Listen, bound: &[SocketAddr], token: &Token, keyring: Keyring) -> Self {
        let own = bound.iter().copied().filter_map(HostName::of_socket);
        let hosts = own.chain(listen.allowed_hosts.iter().filter_map(|host| host_pattern(host))).collect();
        let origins = listen.allowed_origins.iter().filter_map(|origin| origin_pattern(origin)).collect();
        let rules = Rules {
            hosts,
            origins,
            proxies: listen.trusted_proxies.iter().map(IpAddr::to_canonical).collect(),
            token: digest(token.reveal()),
            keyring,
            throttle: Mutex::default(),
        };
        Self { rules: Arc::new(rules) }
    }

    /// Whose request this is, where its token opens `scope`; else why it is not let in.
    pub(crate) fn check(&self, request: &HttpRequest, scope: Scope) -> Result<Pass, Refusal> {
        self.outside(request)?;
        let token = presented(request).ok_or(Refusal::Token)?;
        self.pass(self.whose(request, &token)?, digest(&token), scope)
    }

    /// What the token with this digest, which is this caller's, lets in, where it opens `scope`.
    pub(crate) fn pass(&self, caller: Caller, token: [u8; 32], scope: Scope) -> Result<Pass, Refusal> {
        let by = Some((self.clone(), token, scope));
        if caller.may(scope) {
            Ok(Pass { principal: caller.principal, by, login: None })
        } else {
            Err(Refusal::Scope(scope))
        }
    }

    /// Whose token this is that came with `request`, in a header or in the body of a login. Wrong ones are counted.
    pub(crate) fn whose(&self, request: &HttpRequest, token: &str) -> Result<Caller, Refusal> {
        let ip = self.sender(request);
        self.rules.throttle.lock().may(ip, clock::now()).map_err(Refusal::TooManyGuesses)?;
        let digest = digest(token);
        match self.by_digest(&digest) {
            Some(caller) => Ok(caller),
            None => {
                let guess = self.rules.throttle.lock().failed(ip, digest, clock::now());
                match guess {
                    Guess::Known => {}
                    Guess::New => log::warn!(ip:%; "a login failed: the token is not one of ours"),
                    Guess::Last => {
                        log::warn!(ip:%; "too many logins failed; this address is refused for now")
                    }
                }
                Err(Refusal::Token)
            }
        }
    }

    /// Refuses a request by what it says of itself, before its token: by its Host, its Origin, or a token in its query.
    pub(crate) fn outside(&self, request: &HttpRequest) -> Result<(), Refusal> {
        let host = self.host(request)?;
        self.origin(request, &host)?;
        let is_token = |name: &str| TOKEN_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let mut parameters = form_urlencoded::parse(request.query_string().as_bytes());
        if parameters.any(|(name, _)| is_token(&name)) { Err(Refusal::Query) } else { Ok(()) }
    }

    /// Whether the request says from which page it comes; only after [`Gate::outside`] is that one of ours.
    pub(crate) fn names_its_page(request: &HttpRequest) -> bool {
        request.headers().contains_key(ORIGIN)
    }

    /// Whether it presents anything as a token.
    pub(crate) fn presents(request: &HttpRequest) -> bool {
        request.headers().contains_key(AUTHORIZATION)
    }

    /// Whose token has this digest.
    pub(crate) fn by_digest(&self, digest: &[u8; 32]) -> Option<Caller> {
        caller(self, &self.rules.keyring.entries(), digest)
    }

    /// Where a request comes from: behind a proxy that is trusted, what the nearest of them says, and not what a client wrote.
    fn sender(&self, request: &HttpRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip().to_canonical());
        let is_proxy = |ip: &IpAddr| self.rules.proxies.contains(ip);
        if !is_proxy(&peer) {
            return peer;
        }
        let told = request.headers().get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok());
        let told = told.flat_map(|value| value.split(',')).collect::<Vec<_>>();
        let hops = told.into_iter().rev().map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        hops.map(|ip| ip.to_canonical()).find(|ip| !is_proxy(ip)).unwrap_or(peer)
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

/// Whether the file at `tokens` has any named token, which somebody made on purpose.
pub(crate) fn has_named_tokens(tokens: Option<&Path>) -> Result<bool, TokenError> {
    Ok(!Keyring::open(tokens)?.entries().is_empty())
}

/// Refuses every request of a port by what it says of itself, whatever its path: for `from_fn`, with the [`Gate`] among the app's data.
/// The probes are open to all: an orchestrator calls by address, and they say nothing else.
pub(crate) async fn doorkeeper<B: MessageBody + 'static>(
    gate: web::Data<Gate>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let is_probe = PROBES.contains(&request.path());
    match gate.outside(request.request()) {
        Err(refusal) if !is_probe => {
            Ok(request.into_response(refusal.error_response()).map_into_right_body())
        }
        Ok(()) | Err(_) => Ok(next.call(request).await?.map_into_left_body()),
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

/// Whose token has this digest. Looks at every token, whichever is the right one, so that the time tells nothing.
fn caller(gate: &Gate, entries: &Entries, digest: &[u8; 32]) -> Option<Caller> {
    let mut found = None;
    for (name, entry) in entries {
        if bool::from(entry.digest().ct_eq(digest)) {
            found = Some(Caller { principal: name.as_str().into(), scopes: entry.scopes.clone() });
        }
    }
    if bool::from(gate.rules.token.ct_eq(digest)) {
        found = Some(Caller { principal: keyring::LOCAL.into(), scopes: Scope::ALL.to_vec() });
    }
    found
}

/// The token that the request presents, right or wrong.
fn presented(request: &HttpRequest) -> Option<String> {
    token_in(only(request, AUTHORIZATION)??)
}

/// The token in an `Authorization`: as it stands (`Bearer`), or as the password (`Basic`).
pub(crate) fn token_in(authorization: &str) -> Option<String> {
    let (scheme, value) = authorization.split_once(' ')?;
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
