//! The sections of the configuration that are read as they stand: every key with its meaning, its unit and its one default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::config::secret::Secret;

/// `[listen]`: where EXAI listens, and whom it lets in.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    /// `listen.mcp`: address and port for MCP clients. Default `127.0.0.1:8079`.
    #[serde(deserialize_with = "address")]
    pub(crate) mcp: SocketAddr,
    /// `listen.dashboard`: address and port for people and probes. Default `127.0.0.1:8080`.
    #[serde(deserialize_with = "address")]
    pub(crate) dashboard: SocketAddr,
    /// `listen.allowed_hosts`: names (`name` or `name:port`) that a request may call this server, beside the loopback names
    /// and the addresses it listens on. Default none.
    pub(crate) allowed_hosts: Vec<String>,
    /// `listen.allowed_origins`: web origins (`https://name[:port]`) whose pages may use this server. Default none.
    pub(crate) allowed_origins: Vec<String>,
    /// `listen.trusted_proxies`: addresses of proxies and gateways in front, exempt from the limit per IP. Default none.
    pub(crate) trusted_proxies: Vec<IpAddr>,
    /// `listen.tls_cert`: a PEM file with the certificate of both ports, and the chain to its authority. Default none: no TLS.
    pub(crate) tls_cert: Option<PathBuf>,
    /// `listen.tls_key`: a PEM file with the certificate's private key. Default none.
    pub(crate) tls_key: Option<PathBuf>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            mcp: (Ipv4Addr::LOCALHOST, 8079).into(),
            dashboard: (Ipv4Addr::LOCALHOST, 8080).into(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            tls_cert: None,
            tls_key: None,
        }
    }
}

/// `[limits]`: what EXAI takes on at the same time, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// `limits.global`: calls in flight. Default 64.
    pub(crate) global: usize,
    /// `limits.per_session`: calls in flight of one client connection. Default 16.
    pub(crate) per_session: usize,
    /// `limits.per_conversation`: calls in flight in one conversation. Default 1.
    pub(crate) per_conversation: usize,
    /// `limits.queue_wait_ms`: how long a call waits for a permit, in milliseconds; 0 never waits. Default 30 000.
    #[serde(rename = "queue_wait_ms", deserialize_with = "milliseconds")]
    pub(crate) queue_wait: Duration,
    /// `limits.connections`: client connections. Default 10 000.
    pub(crate) connections: usize,
    /// `limits.connections_per_ip`: client connections from one address; loopback and trusted proxies are exempt. Default 64.
    pub(crate) connections_per_ip: usize,
    /// `limits.message_bytes`: the largest message of a client, in bytes. Default 8 388 608 (8 MiB).
    pub(crate) message_bytes: usize,
    /// `limits.requests_per_second`: requests that one session may send in the long run. Default 20.
    pub(crate) requests_per_second: u32,
    /// `limits.burst`: requests that one session may send at once. Default 50.
    pub(crate) burst: u32,
    /// `limits.deadline_s`: the longest that one call may take, in seconds. Default 900.
    #[serde(rename = "deadline_s", deserialize_with = "seconds")]
    pub(crate) deadline: Duration,
    /// `limits.drain_s`: how long running calls get when EXAI is told to stop, in seconds. Default 25.
    #[serde(rename = "drain_s", deserialize_with = "seconds")]
    pub(crate) drain: Duration,
    /// `limits.result_ttl_h`: how long an answer is kept, to be fetched or handed out, in hours. Default 24.
    #[serde(rename = "result_ttl_h", deserialize_with = "hours")]
    pub(crate) result_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            global: 64,
            per_session: 16,
            per_conversation: 1,
            queue_wait: Duration::from_secs(30),
            connections: 10_000,
            connections_per_ip: 64,
            message_bytes: 8 * 1024 * 1024,
            requests_per_second: 20,
            burst: 50,
            deadline: Duration::from_secs(900),
            drain: Duration::from_secs(25),
            result_ttl: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// `[models]`: which model answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Models {
    /// `models.default`: the model, by id or alias, of calls that name none. Default none: the first configured provider's own
    /// default.
    pub(crate) default: Option<String>,
}

/// `[clients]`: how long MCP clients wait for an answer, before what EXAI knows of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Clients {
    /// `clients.NAME`: seconds after which the client that gives itself this name, or one that begins with it, gives up; 0 for one
    /// that waits for ever. Default: what is known of the usual clients.
    #[serde(deserialize_with = "seconds_by_name")]
    pub(crate) limits: BTreeMap<String, Duration>,
}

/// `[dashboard]`: what people get to see.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dashboard {
    /// `dashboard.folder`: a folder whose files are served instead of the built-in pages, for whoever works on them. Default none.
    pub(crate) folder: Option<PathBuf>,
}

/// `[metrics]`: what is counted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    /// `metrics.flush_s`: how often the sums go to the database, in seconds. Default 10.
    #[serde(rename = "flush_s", deserialize_with = "seconds")]
    pub(crate) flush: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { flush: Duration::from_secs(10) }
    }
}

/// `[alerts]`: whom to wake, and of what.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Alerts {
    /// `alerts.webhook_url`: where alerts are posted as JSON, beside the log; `https` only, except on loopback. It is treated as a
    /// secret. Default none.
    pub(crate) webhook_url: Option<Secret>,
    /// `alerts.breaker_open_s`: how long a breaker may be other than closed, in seconds. Default 60.
    #[serde(rename = "breaker_open_s", deserialize_with = "seconds")]
    pub(crate) breaker_open: Duration,
    /// `alerts.daily_budget_usd`: what a day (UTC) may cost, in US dollars, as far as prices are known; four fifths of it are an alert.
    /// Nothing is refused for it. Default none.
    pub(crate) daily_budget_usd: Option<f64>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { webhook_url: None, breaker_open: Duration::from_secs(60), daily_budget_usd: None }
    }
}

/// `[log]`: what goes to standard error. Levels come from `RUST_LOG` (default `info`).
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `log.format`: `text` for people, `json` for collectors. Default `text`.
    pub(crate) format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// Reads a duration from whole seconds.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_secs)
}

/// Reads a duration that may be missing from whole seconds.
pub(super) fn seconds_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    seconds(from).map(Some)
}

fn hours<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(|hours| Duration::from_secs(hours.saturating_mul(60 * 60)))
}

fn seconds_by_name<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Duration>, D::Error> {
    let seconds = BTreeMap::<String, u64>::deserialize(from)?;
    Ok(seconds.into_iter().map(|(name, seconds)| (name, Duration::from_secs(seconds))).collect())
}

fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_millis)
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    // The parser's own words do not say what is wanted.
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| serde::de::Error::custom("not an address with a port, such as 127.0.0.1:8079"))
}
