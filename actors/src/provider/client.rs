//! The HTTP client of one provider: HTTP/1.1 alone, no redirects, no limits of its own but the time to connect.

use std::time::Duration;

use awc::http::Version;
use awc::http::header::USER_AGENT;
use awc::{Client, Connector};

/// How long a connection may take to come about, and again how long its TLS handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Who we say we are.
const AGENT: &str = concat!("exai/", env!("CARGO_PKG_VERSION"));

/// A client with an empty pool.
///
/// HTTP/2 is not offered: a cancelled call must close its socket, and the only h2 that awc speaks has an advisory. The pool's own
/// limit would queue silently, and the default request timeout is 5 s: permits and timers are ours. A redirect is an answer like
/// any other, since following it could take the key to another host. No compression is built in, so `identity` is asked for.
pub(super) fn client() -> Client {
    // With more than one crypto provider compiled in, rustls panics unless one has been chosen for the process. The first choice
    // stays, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connector = Connector::new()
        .max_http_version(Version::HTTP_11)
        .limit(0)
        .timeout(CONNECT_WITHIN)
        .handshake_timeout(CONNECT_WITHIN)
        // A cancelled call does not wait for the other side's goodbye.
        .disconnect_timeout(Duration::ZERO);
    Client::builder()
        .connector(connector)
        .disable_timeout()
        .disable_redirects()
        .add_default_header((USER_AGENT, AGENT))
        .finish()
}
