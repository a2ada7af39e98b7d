//! The ranges of numbers and the rules between keys. Pure: it looks at values and says what is wrong with them.

use std::fmt::Display;

use url::Url;

use crate::config::document::Document;
use crate::config::error::ConfigError;
use crate::config::providers::is_loopback;
use crate::config::sections::{Alerts, Listen};
use crate::config::sources::{Source, Sources};
use crate::security::{Token, host_pattern, origin_pattern};

/// The longest that anything may be told to wait, in seconds: an hour.
const WAIT_S_MAX: u64 = 3600;

/// Refuses what no installation can mean.
pub(super) fn check(document: &Document, sources: &Sources) -> Result<(), ConfigError> {
    let Document {
        listen,
        storage,
        limits,
        providers,
        models,
        clients,
        dashboard: _,
        metrics,
        alerts,
        log: _,
    } = document;
    let range = Range { sources };
    range.holds("storage.pool_size", storage.pool_size, 1, 128)?;
    range.holds("storage.spool_mib", storage.spool_mib, 1, 1024)?;
    range.holds("limits.global", limits.global, 1, 10_000)?;
    range.holds("limits.per_session", limits.per_session, 1, 10_000)?;
    range.holds("limits.per_conversation", limits.per_conversation, 1, 64)?;
    range.holds("limits.queue_wait_ms", limits.queue_wait.as_millis(), 0, u128::from(WAIT_S_MAX) * 1000)?;
    range.holds("limits.connections", limits.connections, 1, 100_000)?;
    range.holds("limits.connections_per_ip", limits.connections_per_ip, 1, 100_000)?;
    range.holds("limits.message_bytes", limits.message_bytes, 1024, 64 * 1024 * 1024)?;
    range.holds("limits.requests_per_second", limits.requests_per_second, 1, 100_000)?;
    range.holds("limits.burst", limits.burst, 1, 100_000)?;
    range.holds("limits.deadline_s", limits.deadline.as_secs(), 1, WAIT_S_MAX)?;
    // A call is forgotten after 90 days, and its answer with it.
    range.holds("limits.result_ttl_h", limits.result_ttl.as_secs() / 3600, 1, 90 * 24)?;
    range.holds("limits.drain_s", limits.drain.as_secs(), 0, WAIT_S_MAX)?;
    range.holds("metrics.flush_s", metrics.flush.as_secs(), 1, 600)?;
    for (name, provider) in providers {
        let key = |field: &str| format!("providers.{name}.{field}");
        if let Some(calls) = provider.max_in_flight {
            range.holds(&key("max_in_flight"), calls, 1, 10_000)?;
        }
        if let Some(wait) = provider.first_byte_timeout {
            range.holds(&key("first_byte_timeout_s"), wait.as_secs(), 1, WAIT_S_MAX)?;
        }
        if let Some(wait) = provider.idle_timeout {
            range.holds(&key("idle_timeout_s"), wait.as_secs(), 1, WAIT_S_MAX)?;
        }
    }
    for (name, limit) in &clients.limits {
        let key = format!("clients.{name}");
        if name.trim().is_empty() {
            return Err(refused(
                sources,
                &key,
                "a client without a name",
                "write the client's name, or remove it",
            ));
        }
        range.holds(&key, limit.as_secs(), 0, WAIT_S_MAX)?;
    }
    if models.default.as_ref().is_some_and(|model| model.trim().is_empty()) {
        return Err(refused(sources, "models.default", "empty", "name a model, or remove the key"));
    }
    woken(alerts, &range)?;
    doors(listen, sources)
}

fn woken(alerts: &Alerts, range: &Range<'_>) -> Result<(), ConfigError> {
    range.holds("alerts.breaker_open_s", alerts.breaker_open.as_secs(), 1, WAIT_S_MAX)?;
    if let Some(budget) = alerts.daily_budget_usd {
        range.holds("alerts.daily_budget_usd", budget, 0.01, 1e6)?;
    }
    if alerts.webhook_url.as_ref().is_some_and(|url| !is_https_or_loopback(url.reveal())) {
        let problem = "neither an https address nor one on loopback";
        let fix = "use https (http is for loopback alone)";
        return Err(refused(range.sources, "alerts.webhook_url", problem, fix));
    }
    Ok(())
}

fn is_https_or_loopback(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(&url),
        _ => false,
    }
}

/// Refuses a token that no client could present.
pub(super) fn token(text: &str) -> Result<Token, ConfigError> {
    Token::parse(text).ok_or_else(|| {
        let problem =
            format!("the token must be 1 to {} visible ASCII characters without spaces", Token::LENGTH_MAX);
        let fix = "set it to the token alone, or unset it to have one generated";
        ConfigError::refused(Source::Variable(super::TOKEN.to_owned()), super::TOKEN, problem, fix)
    })
}

fn doors(listen: &Listen, sources: &Sources) -> Result<(), ConfigError> {
    if listen.mcp == listen.dashboard && listen.mcp.port() != 0 {
        let key = if sources.is_set("listen.dashboard") { "listen.dashboard" } else { "listen.mcp" };
        return Err(refused(
            sources,
            key,
            "both doors would be the same port",
            "give each a port of its own",
        ));
    }
    let alone = match (&listen.tls_cert, &listen.tls_key) {
        (Some(_), None) => {
            Some(("listen.tls_cert", "set listen.tls_key too, the file with the certificate's private key"))
        }
        (None, Some(_)) => {
            Some(("listen.tls_key", "set listen.tls_cert too, the file with the key's certificate"))
        }
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((key, fix)) = alone {
        return Err(refused(sources, key, "TLS needs a certificate and its key", fix));
    }
    for host in &listen.allowed_hosts {
        if host_pattern(host).is_none() {
            let fix = "write name or name:port, without scheme or path; there is no wildcard";
            return Err(refused(sources, "listen.allowed_hosts", &format!("`{host}` is not a host"), fix));
        }
    }
    for origin in &listen.allowed_origins {
        if origin_pattern(origin).is_none() {
            let fix = "write https://name or https://name:port, without a path; there is no wildcard";
            return Err(refused(
                sources,
                "listen.allowed_origins",
                &format!("`{origin}` is not a web origin"),
                fix,
            ));
        }
    }
    Ok(())
}

struct Range<'a> {
    sources: &'a Sources,
}

impl Range<'_> {
    fn holds<N: PartialOrd + Display>(&self, key: &str, value: N, min: N, max: N) -> Result<(), ConfigError> {
        if (min <= value) && (value <= max) {
            return Ok(());
        }
        let fix = format!("give a number from {min} to {max}");
        Err(refused(self.sources, key, &format!("{value} is out of range"), &fix))
    }
}

fn refused(sources: &Sources, key: &str, problem: &str, fix: &str) -> ConfigError {
    ConfigError::refused(sources.of(key), key, problem, fix)
}
