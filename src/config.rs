//! The configuration: `exai.toml` with the environment over it, checked as a whole before anything starts. An unknown key or a bad
//! value refuses to start and names the place, the key and the fix; a secret is never printed.

mod check;
mod document;
mod error;
mod in_force;
mod inputs;
mod presets;
mod providers;
mod secret;
mod sections;
mod sources;
mod storage;
#[cfg(test)]
mod tests;

pub(crate) use error::ConfigError;
pub(crate) use inputs::Inputs;
pub(crate) use providers::{LeftOut, Provider};
pub(crate) use secret::Secret;
pub(crate) use sections::{Alerts, Clients, Dashboard, Limits, Listen, Log, LogFormat, Metrics, Models};
pub(crate) use sources::{Source, Sources};
pub(crate) use storage::Storage;

use std::path::PathBuf;

use crate::security::Token;
use document::Document;

/// The variable that holds the token.
const TOKEN: &str = "EXAI_TOKEN";

/// What EXAI was told, complete and checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where it listens, and whom it lets in.
    pub(crate) listen: Listen,
    /// The database.
    pub(crate) storage: Storage,
    /// What it takes on.
    pub(crate) limits: Limits,
    /// Who can be asked; the first one answers when no model is named. Kimi, then GLM, then the others by name.
    pub(crate) providers: Vec<Provider>,
    /// Who cannot be asked for want of a key.
    pub(crate) left_out: Vec<LeftOut>,
    /// Which model answers.
    pub(crate) models: Models,
    /// How long MCP clients wait.
    pub(crate) clients: Clients,
    /// What people get to see.
    pub(crate) dashboard: Dashboard,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Whom to wake.
    pub(crate) alerts: Alerts,
    /// What goes to standard error.
    pub(crate) log: Log,
    /// `EXAI_TOKEN`: what clients must present; none: the one in `token_file`.
    pub(crate) token: Option<Token>,
    /// Where the generated token is kept; none without a home.
    pub(crate) token_file: Option<PathBuf>,
    /// Where the named tokens are kept; none without a home.
    pub(crate) tokens_file: Option<PathBuf>,
    sources: Sources,
}

impl Config {
    /// Reads and checks everything.
    pub(crate) fn load(inputs: &Inputs) -> Result<Self, ConfigError> {
        let (document, sources) = Document::read(inputs)?;
        check::check(&document, &sources)?;
        let Document {
            mut listen,
            storage,
            limits,
            providers,
            models,
            clients,
            mut dashboard,
            metrics,
            alerts,
            log,
        } = document;
        let located = |key, path: Option<PathBuf>| path.map(|path| sources.located(key, path));
        listen.tls_cert = located("listen.tls_cert", listen.tls_cert);
        listen.tls_key = located("listen.tls_key", listen.tls_key);
        dashboard.folder = located("dashboard.folder", dashboard.folder);
        let storage = Storage::resolve(storage, &sources, inputs)?;
        let (providers, left_out) = providers::resolve(providers, &sources, inputs)?;
        let token = inputs.variable(TOKEN)?.map(check::token).transpose()?;
        let token_file = inputs.config_folder().map(|folder| folder.join("token"));
        let tokens_file = inputs.config_folder().map(|folder| folder.join("tokens.toml"));
        Ok(Self {
            listen,
            storage,
            limits,
            providers,
            left_out,
            models,
            clients,
            dashboard,
            metrics,
            alerts,
            log,
            token,
            token_file,
            tokens_file,
            sources,
        })
    }

    /// Who set each key; the keys that are not there have their default.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }
}
