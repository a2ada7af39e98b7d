//! Host and Origin, taken apart strictly: what does not parse is refused, so that no trick of spelling gets through.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The longest name that DNS knows (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// The names under which a machine calls itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A host with or without a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName {
    host: String,
    port: Option<u16>,
}

impl HostName {
    /// The address that a socket is bound to; none where that is every address of the machine, which is no name.
    pub(super) fn of_socket(address: SocketAddr) -> Option<Self> {
        let host = match address.ip() {
            ip if ip.is_unspecified() => return None,
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Some(Self { host, port: Some(address.port()) })
    }

    /// Whether this is one of the names under which a machine calls itself, whatever the port.
    pub(super) fn is_loopback(&self) -> bool {
        LOOPBACK.contains(&self.host.as_str())
    }

    /// Whether a request for `asked` is meant by this pattern: the same host, and the same port where the pattern has one.
    pub(super) fn covers(&self, asked: &Self) -> bool {
        self.host == asked.host && (self.port.is_none() || self.port == asked.port)
    }
}

/// Takes `name`, `name:port`, `1.2.3.4:port` or `[v6]:port` apart; none for anything else: a trailing dot, a user name, a wildcard.
pub(crate) fn host_pattern(text: &str) -> Option<HostName> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port)
    } else {
        let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if name.len() > NAME_BYTES_MAX || !name.split('.').all(label) {
            return None;
        }
        (name.to_ascii_lowercase(), port)
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
        None if port.is_empty() => None,
        None => return None,
    };
    Some(HostName { host, port })
}

/// A web origin: scheme, host and port (RFC 6454, section 4), the scheme's own port left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebOrigin {
    scheme: String,
    host: HostName,
}

impl WebOrigin {
    /// Whether this is a page that the very same loopback port served: nobody else can serve pages there.
    pub(super) fn is_own_loopback_page(&self, asked: &HostName) -> bool {
        self.scheme == "http"
            && self.host.is_loopback()
            && self.host == without_usual_port("http", asked.clone())
    }
}

/// Takes `scheme://host[:port]` apart; none for anything else, `null` among it.
pub(crate) fn origin_pattern(text: &str) -> Option<WebOrigin> {
    let (scheme, host) = text.split_once("://")?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(good) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let host = without_usual_port(&scheme, host_pattern(host)?);
    Some(WebOrigin { scheme, host })
}

fn without_usual_port(scheme: &str, mut host: HostName) -> HostName {
    if matches!((scheme, host.port), ("http", Some(80)) | ("https", Some(443))) {
        host.port = None;
    }
    host
}
