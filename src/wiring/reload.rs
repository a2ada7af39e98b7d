//! Reads the settings again while calls run: keys and limits change at once, everything else waits for a restart and is named. All is
//! decided before anything changes, so that settings that cannot be used change nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use exai_actors::dispatcher::Dispatcher;
use exai_actors::dispatcher::messages::SetLimits;
use exai_actors::ids::ProviderName;
use exai_actors::mail;
use exai_actors::provider::endpoint::{Endpoint, Key};
use exai_actors::provider_supervisor::ProviderSupervisor;
use exai_actors::provider_supervisor::messages::Rekey;
use futures_util::future;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use crate::config::{Config, Inputs, Provider};
use crate::unix::Hangups;

/// How long an actor may take to put a setting in force; `exai reload` waits a little longer.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// Reads the settings again; clones do it one after another.
#[derive(Clone)]
pub(crate) struct Reloader(Arc<Inner>);

struct Inner {
    inputs: Option<Inputs>,
    /// What is in force. Held while a reload runs, so that two of them do not mix; nothing else waits for it.
    config: Mutex<Config>,
    /// The same for people to look at, who wait for no reload.
    shown: watch::Sender<Value>,
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
    /// Keys that have changed and are not known to be in force, each with why: whom they are for failed. The next reload tries again.
    pub(crate) failed: Vec<String>,
}

/// What is to be put in force, all of it checked: nothing of it can be refused any more.
struct Plan {
    /// Each with the key of the settings that it stands under.
    keys: Vec<(ProviderName, Key, String)>,
    /// What the dispatcher takes as a whole, under these keys; none where nothing of it has changed.
    limits: Vec<String>,
    restart: Vec<String>,
}

impl Reloader {
    /// Starts it; SIGHUP asks it from here on.
    pub(super) fn start(
        inputs: Option<Inputs>,
        config: &Config,
        dispatcher: Addr<Dispatcher>,
        supervisors: BTreeMap<ProviderName, Addr<ProviderSupervisor>>,
    ) -> Self {
        let shown = watch::Sender::new(config.in_force());
        let config = Mutex::new(config.clone());
        let reloader = Self(Arc::new(Inner { inputs, config, shown, dispatcher, supervisors }));
        actix_rt::spawn(on_hangup(reloader.clone()));
        reloader
    }

    /// The configuration in force, secrets masked.
    pub(crate) fn in_force(&self) -> Value {
        self.0.shown.borrow().clone()
    }

    /// Reads and checks everything, then puts keys and limits in force; or says why nothing has changed.
    pub(crate) async fn reload(&self) -> Result<Reload, String> {
        let inner = &*self.0;
        let Some(inputs) = &inner.inputs else {
            return Err("this server runs on settings of its own".to_owned());
        };
        let mut config = inner.config.lock().await;
        let new = Config::load(inputs).map_err(|error| error.to_string())?;
        let plan = Plan::of(&config, &new)?;
        let reload = inner.apply(plan, &new, &mut config).await;
        inner.shown.send_replace(config.in_force());
        for key in &reload.changed {
            log::info!(key = key.as_str(); "a setting has changed");
        }
        for key in &reload.restart {
            log::warn!(key = key.as_str(); "a setting has changed that waits for a restart");
        }
        for key in &reload.failed {
            log::error!("a setting has changed and is not known to be in force: {key}");
        }
        Ok(reload)
    }
}

impl Plan {
    /// Decides everything; or says what cannot be used.
    fn of(old: &Config, new: &Config) -> Result<Self, String> {
        let mut plan = Self { keys: Vec::new(), limits: Vec::new(), restart: of_the_process(old, new) };
        for (provider, new) in pairs(old, new) {
            let name = &provider.name;
            if provider.api_key != new.api_key {
                let key = Key::new(new.api_key.as_ref().map(|key| key.reveal()).unwrap_or_default());
                Endpoint::new(name.clone(), provider.base_url.as_str(), &key)
                    .map_err(|error| error.to_string())?;
                plan.keys.push((name.clone(), key, format!("providers.{name}.api_key")));
            }
            if provider.max_in_flight != new.max_in_flight {
                plan.limits.push(format!("providers.{name}.max_in_flight"));
            }
        }
        let (was, is) = (&old.limits, &new.limits);
        for (key, was, is) in [
            ("limits.global", was.global, is.global),
            ("limits.per_session", was.per_session, is.per_session),
            ("limits.per_conversation", was.per_conversation, is.per_conversation),
        ] {
            if was != is {
                plan.limits.push(key.to_owned());
            }
        }
        Ok(plan)
    }
}

/// The providers that stay, as they are and as they are to be.
fn pairs<'a>(old: &'a Config, new: &'a Config) -> impl Iterator<Item = (&'a Provider, &'a Provider)> {
    old.providers.iter().filter_map(|provider| {
        new.providers.iter().find(|one| one.name == provider.name).map(|one| (provider, one))
    })
}

impl Inner {
    /// Puts everything in force at the same time, each by itself: what one of them does not take holds up no other. `config` is what is
    /// in force, before and after.
    async fn apply(&self, plan: Plan, new: &Config, config: &mut Config) -> Reload {
        let mut reload = Reload { restart: plan.restart, ..Reload::default() };
        let mut limited = config.clone();
        limited.limits.global = new.limits.global;
        limited.limits.per_session = new.limits.per_session;
        limited.limits.per_conversation = new.limits.per_conversation;
        for provider in &mut limited.providers {
            if let Some(new) = new.providers.iter().find(|one| one.name == provider.name) {
                provider.max_in_flight = new.max_in_flight;
            }
        }
        let set = async {
            if plan.limits.is_empty() {
                return Ok(());
            }
            let limits = SetLimits { limits: super::limits(&limited) };
            mail::ask(&self.dispatcher, limits, ASK_WITHIN).await
        };
        let rekeys = plan.keys.into_iter().map(|(name, key, setting)| async move {
            let taken = self.rekey(&name, key).await;
            (name, setting, taken)
        });
        let (set, rekeyed) = future::join(set, future::join_all(rekeys)).await;
        match set {
            Ok(()) => {
                *config = limited;
                reload.changed.extend(plan.limits);
            }
            Err(why) => reload.failed.extend(plan.limits.iter().map(|key| format!("{key} ({why})"))),
        }
        for (name, setting, taken) in rekeyed {
            match taken {
                Ok(()) => {
                    reload.changed.push(setting);
                    let key = new.providers.iter().find(|one| one.name == name).map(|one| &one.api_key);
                    let provider = config.providers.iter_mut().find(|one| one.name == name);
                    if let (Some(provider), Some(key)) = (provider, key) {
                        provider.api_key.clone_from(key);
                    }
                }
                Err(why) => reload.failed.push(format!("{setting} ({why})")),
            }
        }
        reload
    }

    async fn rekey(&self, provider: &ProviderName, key: Key) -> Result<(), String> {
        let Some(supervisor) = self.supervisors.get(provider) else { return Ok(()) };
        match mail::ask(supervisor, Rekey { key }, ASK_WITHIN).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
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
    differ("alerts.breaker_open_s", &old.alerts.breaker_open, &new.alerts.breaker_open);
    differ("alerts.daily_budget_usd", &old.alerts.daily_budget_usd, &new.alerts.daily_budget_usd);
    differ("dashboard", &old.dashboard, &new.dashboard);
    differ("metrics", &old.metrics, &new.metrics);
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
            Ok(Reload { changed, restart, failed }) => log::info!(
                changed = changed.len(), wait_for_restart = restart.len(), failed = failed.len();
                "reloaded"
            ),
            Err(why) => log::error!("nothing was reloaded: {why}"),
        }
    }
}
