//! The configured providers: their models, and one supervisor for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Addr, ArbiterHandle};
use exai_actors::dispatcher::ProviderLink;
use exai_actors::ids::ProviderName;
use exai_actors::metrics::Metrics;
use exai_actors::models::{BadCatalogue, Catalogue, CurrentCatalogue};
use exai_actors::provider::endpoint::{Endpoint, Key};
use exai_actors::provider::{Listings, Timeouts};
use exai_actors::provider_supervisor::{self, ProviderConfig, ProviderSupervisor, Wiring};

use tokio::sync::watch;

use super::StartError;
use super::deaths::{self, Deaths};
use crate::config::{Config, ConfigError, Provider};

/// The actor without which a provider is out of reach for good.
const SUPERVISOR: &str = "provider_supervisor";
/// The key of the default model.
const DEFAULT: &str = "models.default";
/// What `listmodels` calls the default of a server that has nobody to ask.
const NO_MODEL: &str = "none";

/// The models of the configured providers.
pub(super) fn catalogue(config: &Config) -> Result<Catalogue, BadCatalogue> {
    Catalogue::new(config.providers.iter().map(|one| (one.name.clone(), one.models.clone())))
}

/// The model of calls that name none: the configured one, else the first provider's own default.
pub(super) fn default_model(config: &Config, catalogue: &Catalogue) -> Result<String, StartError> {
    if let Some(name) = &config.models.default {
        return match catalogue.resolve(name) {
            Ok(model) => Ok(model.id.to_string()),
            Err(unknown) => {
                let problem = format!("no configured provider serves `{name}`");
                let fix = if config.providers.is_empty() {
                    "give a provider its key (MOONSHOT_API_KEY, ZAI_API_KEY), as none has one".to_owned()
                } else {
                    format!("name one of {}; or give the provider that serves it its key", unknown.known())
                };
                Err(ConfigError::refused(config.sources().of(DEFAULT), DEFAULT, problem, fix).into())
            }
        };
    }
    let first = config.providers.iter().find_map(|one| catalogue.default_of(&one.name));
    Ok(first.map_or_else(|| NO_MODEL.to_owned(), |model| model.id.to_string()))
}

/// Starts a supervisor for each, and with it the provider; and gives what they list.
pub(super) fn start(
    config: &Config,
    arbiter: &ArbiterHandle,
    metrics: &Addr<Metrics>,
    deaths: &Deaths,
) -> Result<(BTreeMap<ProviderName, ProviderLink>, watch::Receiver<Listings>), StartError> {
    let wiring = Wiring { arbiter, board: deaths.board.clone(), metrics: metrics.clone() };
    let (listings, listed) = watch::channel(Listings::new());
    let started = config.providers.iter().map(|one| start_one(one, &wiring, deaths, &listings));
    Ok((started.collect::<Result<_, _>>()?, listed))
}

/// The catalogue, which takes up what the providers list for as long as they run.
pub(super) fn follow(configured: Catalogue, mut listed: watch::Receiver<Listings>) -> CurrentCatalogue {
    let (published, seen) = watch::channel(Arc::new(configured.clone()));
    actix_rt::spawn(async move {
        while listed.changed().await.is_ok() {
            let merged = configured.with(&listed.borrow_and_update());
            // Nobody who reads it is nobody to tell.
            let _ = published.send(Arc::new(merged));
        }
    });
    CurrentCatalogue::following(seen)
}

/// Who decides whether calls may go to each.
pub(super) fn supervisors(
    links: &BTreeMap<ProviderName, ProviderLink>,
) -> BTreeMap<ProviderName, Addr<ProviderSupervisor>> {
    links.iter().map(|(name, link)| (name.clone(), link.supervisor.clone())).collect()
}

fn start_one(
    provider: &Provider,
    wiring: &Wiring<'_>,
    deaths: &Deaths,
    listings: &watch::Sender<Listings>,
) -> Result<(ProviderName, ProviderLink), StartError> {
    let key = Key::new(provider.api_key.as_ref().map(|key| key.reveal()).unwrap_or_default());
    let timeouts = Timeouts { first_byte: provider.first_byte_timeout, idle: provider.idle_timeout };
    let base_url = provider.base_url.to_string();
    let host = Endpoint::new(provider.name.clone(), &base_url, &key)?.host().to_owned();
    let config = ProviderConfig {
        name: provider.name.clone(),
        dialect: provider.dialect,
        base_url,
        key,
        models: provider.models.clone(),
        timeouts,
        listings: Some(listings.clone()),
    };
    let deaths = deaths.clone();
    // The supervisor itself tells the board of its connection, and starts it anew.
    let on_death = move |actor, death| {
        if actor == SUPERVISOR {
            deaths.note(actor, true, death);
        } else {
            deaths::tell(actor, death);
        }
    };
    let supervisor = provider_supervisor::start(&config, wiring.clone(), on_death)?;
    Ok((provider.name.clone(), ProviderLink { supervisor, host }))
}
