//! The configuration in force, for people to look at: no key, no token, no password.

use serde_json::{Value, json};

use crate::config::Config;

impl Config {
    /// Every value with its unit in its name, and who set what.
    pub(crate) fn in_force(&self) -> Value {
        let Self { listen, storage, limits, alerts, .. } = self;
        let clients = self.clients.limits.iter().map(|(name, wait)| (name.clone(), wait.as_secs().into()));
        let providers = self.providers.iter().map(|one| {
            let models = one.models.iter().map(|model| model.to_string()).collect::<Vec<_>>();
            let known = json!({
                "dialect": format!("{:?}", one.dialect).to_lowercase(), "base_url": one.base_url.as_str(),
                "api_key": one.api_key.as_ref().map(|_| "set"), "models": models,
                "max_in_flight": one.max_in_flight, "first_byte_timeout_s": one.first_byte_timeout.as_secs(),
                "idle_timeout_s": one.idle_timeout.as_secs(),
            });
            (one.name.to_string(), known)
        });
        let set = self.sources.iter().map(|(key, source)| (key.to_owned(), source.to_string().into()));
        json!({
            "listen": {
                "mcp": listen.mcp.to_string(), "dashboard": listen.dashboard.to_string(),
                "allowed_hosts": listen.allowed_hosts, "allowed_origins": listen.allowed_origins,
                "trusted_proxies": listen.trusted_proxies, "tls_cert": listen.tls_cert, "tls_key": listen.tls_key,
            },
            "storage": {
                "url": storage.url.to_string(), "durability": storage.durability.in_words(),
                "pool_size": storage.pool_size, "spool_mib": storage.spool_mib,
            },
            "limits": {
                "global": limits.global, "per_session": limits.per_session,
                "per_conversation": limits.per_conversation, "queue_wait_ms": millis(limits.queue_wait),
                "connections": limits.connections, "connections_per_ip": limits.connections_per_ip,
                "message_bytes": limits.message_bytes, "requests_per_second": limits.requests_per_second,
                "burst": limits.burst, "deadline_s": limits.deadline.as_secs(),
                "drain_s": limits.drain.as_secs(), "result_ttl_h": limits.result_ttl.as_secs() / 3600,
            },
            "providers": providers.collect::<serde_json::Map<_, _>>(),
            "models": { "default": self.models.default },
            "clients": clients.collect::<serde_json::Map<String, Value>>(),
            "dashboard": { "folder": self.dashboard.folder },
            "metrics": { "flush_s": self.metrics.flush.as_secs() },
            "alerts": {
                "webhook_url": alerts.webhook_url.as_ref().map(|_| "masked"),
                "breaker_open_s": alerts.breaker_open.as_secs(), "daily_budget_usd": alerts.daily_budget_usd,
            },
            "log": { "format": format!("{:?}", self.log.format).to_lowercase() },
            "token": "masked",
            "set_by": set.collect::<serde_json::Map<String, Value>>(),
        })
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
