//! Reads the settings again while calls run: keys and limits change at once, everything else waits for a restart and is named. Settings
//! that cannot be used change nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use exai_actors::dispatcher::Dispatcher;
use exai_actors::dispatcher::messages::SetLimits;
use exai_actors::ids::ProviderName;
use exai_actors::mail;
use exai_actors::provider::endpoint::Key;
use exai_actors::provider_supervisor::ProviderSupervisor;
use exai_actors::provider_supervisor::messages::Rekey;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::config::{Config, Inputs, Provider};
use crate::unix::Hangups;

/// How long an actor may take to put a setting in force.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// Reads the settings again; clones do it one after another.
#[derive(Clone)]
pub(crate) struct Reloader(Arc<Inner>);

struct Inner {
    inputs: Option<Inputs>,
    /// What is in force. Held while a reload runs, so that two of them do not mix; nothing else waits for it.
    config: Mutex<Config>,
    dispatcher: Addr<Dispatcher>,
    supervisors: BTreeMap<ProviderName, Addr<ProviderSupervisor>>,
}

/// What a reload did. Names keys, never values.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Reload {
    /// Keys that are in force as they stand now.
    pub(crate) changed: Vec<String>,
    /// Keys that have changed and wait for a restart.
    pub(crate) restart: Vec<String>,
}

impl Reloader {
    /// Starts it; SIGHUP asks it from here on.
    pub(super) fn start(
        inputs: Option<Inputs>,
        config: &Config,
        dispatcher: Addr<Dispatcher>,
        supervisors: BTreeMap<ProviderName, Addr<ProviderSupervisor>>,
    ) -> Self {
        let config = Mutex::new(config.clone());
        let reloader = Self(Arc::new(Inner { inputs, config, dispatcher, supervisors }));
        actix_rt::spawn(on_hangup(reloader.clone()));
        reloader
    }

    /// Reads and checks everything, and puts keys and limits in force; or says why nothing has changed.
    pub(crate) async fn reload(&self) -> Result<Reload, String> {
        let inner = &*self.0;
        let Some(inputs) = &inner.inputs else {
            return Err("this server runs on settings of its own".to_owned());
        };
        let mut config = inner.config.lock().await;
        let new = Config::load(inputs).map_err(|error| error.to_string())?;
        let mut reload = Reload { restart: of_the_process(&config, &new), ..Reload::default() };
        let mut in_force = config.clone();
        for provider in &mut in_force.providers {
            let Some(new) = new.providers.iter().find(|one| one.name == provider.name) else { continue };
            if provider.api_key != new.api_key {
                inner.rekey(new).await?;
                provider.api_key.clone_from(&new.api_key);
                reload.changed.push(format!("providers.{}.api_key", new.name));
            }
            if provider.max_in_flight != new.max_in_flight {
                provider.max_in_flight = new.max_in_flight;
                reload.changed.push(format!("providers.{}.max_in_flight", new.name));
            }
        }
        let (limits, asked) = (&mut in_force.limits, &new.limits);
        for (key, limit, asked) in [
            ("limits.global", &mut limits.global, asked.global),
            ("limits.per_session", &mut limits.per_session, asked.per_session),
            ("limits.per_conversation", &mut limits.per_conversation, asked.per_conversation),
        ] {
            if *limit != asked {
                *limit = asked;
                reload.changed.push(key.to_owned());
            }
        }
        let limits = SetLimits { limits: super::limits(&in_force) };
        let set = mail::ask(&inner.dispatcher, limits, ASK_WITHIN).await;
        set.map_err(|error| format!("the dispatcher did not take the limits: {error}; reload again"))?;
        *config = in_force;
        for key in &reload.changed {
            log::info!(key = key.as_str(); "a setting has changed");
        }
        for key in &reload.restart {
            log::warn!(key = key.as_str(); "a setting has changed that waits for a restart");
        }
        Ok(reload)
    }
}

impl Inner {
    async fn rekey(&self, provider: &Provider) -> Result<(), String> {
        let Some(supervisor) = self.supervisors.get(&provider.name) else { return Ok(()) };
        let key = Key::new(provider.api_key.as_ref().map(|key| key.reveal()).unwrap_or_default());
        match mail::ask(supervisor, Rekey { key }, ASK_WITHIN).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(format!("the provider did not take its key: {error}; reload again")),
        }
    }
}

/// The keys that differ and are read at the start alone.
fn of_the_process(old: &Config, new: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    let mut differ = |key: &str, old: &dyn Debug, new: &dyn Debug| {
        if format!("{old:?}") != format!("{new:?}") {
            keys.push(key.to_owned());
        }
    };
    let (was, is) = (&old.listen, &new.listen);
    differ("listen.mcp", &was.mcp, &is.mcp);
    differ("listen.dashboard", &was.dashboard, &is.dashboard);
    differ("listen.allowed_hosts", &was.allowed_hosts, &is.allowed_hosts);
    differ("listen.allowed_origins", &was.allowed_origins, &is.allowed_origins);
    differ("listen.trusted_proxies", &was.trusted_proxies, &is.trusted_proxies);
    differ("listen.tls_cert", &was.tls_cert, &is.tls_cert);
    differ("listen.tls_key", &was.tls_key, &is.tls_key);
    differ("storage", &old.storage, &new.storage);
    differ("models", &old.models, &new.models);
    differ("clients", &old.clients, &new.clients);
    let webhook = |config: &Config| config.alerts.webhook_url.as_ref().map(|url| url.reveal().to_owned());
    differ("alerts.webhook_url", &webhook(old), &webhook(new));
    differ("log", &old.log, &new.log);
    let (was, is) = (&old.limits, &new.limits);
    differ("limits.queue_wait_ms", &was.queue_wait, &is.queue_wait);
    differ("limits.connections", &was.connections, &is.connections);
    differ("limits.connections_per_ip", &was.connections_per_ip, &is.connections_per_ip);
    differ("limits.message_bytes", &was.message_bytes, &is.message_bytes);
    differ("limits.requests_per_second", &was.requests_per_second, &is.requests_per_second);
    differ("limits.burst", &was.burst, &is.burst);
    differ("limits.deadline_s", &was.deadline, &is.deadline);
    differ("limits.drain_s", &was.drain, &is.drain);
    differ("limits.result_ttl_h", &was.result_ttl, &is.result_ttl);
    for provider in &old.providers {
        match new.providers.iter().find(|one| one.name == provider.name) {
            None => keys.push(format!("providers.{}", provider.name)),
            Some(new) if beside_key_and_limit(provider) != beside_key_and_limit(new) => {
                keys.push(format!("providers.{}", provider.name));
            }
            Some(_) => {}
        }
    }
    let is_new = |one: &&Provider| old.providers.iter().all(|old| old.name != one.name);
    keys.extend(new.providers.iter().filter(is_new).map(|one| format!("providers.{}", one.name)));
    keys
}

fn beside_key_and_limit(provider: &Provider) -> String {
    let Provider { dialect, base_url, models, first_byte_timeout, idle_timeout, .. } = provider;
    format!("{dialect:?} {base_url} {models:?} {first_byte_timeout:?} {idle_timeout:?}")
}

/// Reloads at every SIGHUP, for ever.
async fn on_hangup(reloader: Reloader) {
    let mut hangups = match Hangups::listen() {
        Ok(hangups) => hangups,
        Err(error) => {
            log::warn!("cannot listen for SIGHUP: {error}; `exai reload` works all the same");
            return;
        }
    };
    while hangups.next().await {
        match reloader.reload().await {
            Ok(Reload { changed, restart }) => {
                log::info!(changed = changed.len(), wait_for_restart = restart.len(); "reloaded");
            }
            Err(why) => log::error!("nothing was reloaded: {why}"),
        }
    }
}
