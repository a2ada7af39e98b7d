//! Where the running daemon is, and how to ask it over HTTP.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use actix_http::BoxedPayloadStream;
use awc::ClientResponse;
use awc::error::{ConnectError, SendRequestError};
use awc::http::Method;
use serde_json::Value;
use url::Url;

use crate::config::Listen;
use crate::mcp::client::{http_client, wake};
use crate::security::Token;
use crate::tls::{self, TlsError};

/// How long the daemon may take to say how it is: it answers from memory.
const WITHIN: Duration = Duration::from_secs(3);
/// The largest report, in bytes.
const REPORT_BYTES_MAX: usize = 1024 * 1024;

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    /// Nobody listens there.
    #[error("no EXAI listens at {0}; start it with `exai serve`")]
    NoDaemon(SocketAddr),
    /// Whatever has the address says nothing.
    #[error("what listens at {0} does not answer: {wake}", wake = wake(.0.port()))]
    Silent(SocketAddr),
    /// There is no way there.
    #[error("{0} cannot be reached: {1}; look at listen.dashboard")]
    Unreachable(SocketAddr, String),
    /// It answers, but not in our words.
    #[error("what listens at {0} does not answer as EXAI does; look at listen.dashboard and listen.tls_cert")]
    Strange(SocketAddr),
    /// The token is not the daemon's.
    #[error("the daemon at {0} refused the token; `exai token` prints the right one (EXAI_TOKEN)")]
    Refused(SocketAddr),
    /// The certificate that the daemon is known by cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The address to connect to when a daemon listens on `address`: every address of the machine is reached through loopback.
pub(super) fn reach(address: SocketAddr) -> SocketAddr {
    let loopback = match address.ip() {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let ip = if address.ip().is_unspecified() { loopback } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

/// The MCP door of the daemon of these settings.
pub(super) fn mcp_url(listen: &Listen) -> Result<Url, url::ParseError> {
    let scheme = if listen.tls_cert.is_some() { "wss" } else { "ws" };
    Url::parse(&format!("{scheme}://{}/mcp", reach(listen.mcp)))
}

/// Asks the dashboard's port for a text.
pub(super) async fn get_text(listen: &Listen, path: &str, token: &Token) -> Result<String, ProbeError> {
    let (address, mut response) = ask(Method::GET, listen, path, Some(token)).await?;
    let text = response.body().limit(REPORT_BYTES_MAX).await.map_err(|_| ProbeError::Strange(address))?;
    String::from_utf8(text.into()).map_err(|_| ProbeError::Strange(address))
}

/// Asks the dashboard's port for a JSON report: whether it was a success, and the report.
pub(super) async fn get(
    listen: &Listen,
    path: &str,
    token: Option<&Token>,
) -> Result<(bool, Value), ProbeError> {
    report(ask(Method::GET, listen, path, token).await?).await
}

/// Has the dashboard's port do something: whether it was a success, and what it says of it.
pub(super) async fn post(
    listen: &Listen,
    path: &str,
    token: Option<&Token>,
) -> Result<(bool, Value), ProbeError> {
    report(ask(Method::POST, listen, path, token).await?).await
}

async fn report(
    (address, mut response): (SocketAddr, ClientResponse<BoxedPayloadStream>),
) -> Result<(bool, Value), ProbeError> {
    let report = response.json().limit(REPORT_BYTES_MAX).await.map_err(|_| ProbeError::Strange(address))?;
    Ok((response.status().is_success(), report))
}

async fn ask(
    method: Method,
    listen: &Listen,
    path: &str,
    token: Option<&Token>,
) -> Result<(SocketAddr, ClientResponse<BoxedPayloadStream>), ProbeError> {
    let address = reach(listen.dashboard);
    let scheme = if listen.tls_cert.is_some() { "https" } else { "http" };
    let client = http_client(WITHIN, tls::pinned(listen)?);
    let mut request = client.request(method, format!("{scheme}://{address}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token.reveal());
    }
    let response = request.send().await.map_err(|error| {
        if let SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) = error {
            return ProbeError::Silent(address);
        }
        let SendRequestError::Connect(ConnectError::Io(io)) = &error else {
            return ProbeError::Strange(address);
        };
        if io.kind() == ErrorKind::ConnectionRefused {
            return ProbeError::NoDaemon(address);
        }
        // What rustls refuses, and a server that hangs up on it, come as errors of input and output, but somebody is there.
        if matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        {
            return ProbeError::Strange(address);
        }
        ProbeError::Unreachable(address, io.to_string())
    })?;
    if response.status().as_u16() == 401 {
        return Err(ProbeError::Refused(address));
    }
    Ok((address, response))
}
