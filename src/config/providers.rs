//! `[providers.NAME]`: which providers exist, and the one host and key of each. It never lets a key meet another provider's host.

use std::collections::BTreeMap;
use std::time::Duration;

use exai_actors::ids::ProviderName;
use exai_actors::provider::dialect::Dialect;
use serde::Deserialize;
use url::{Host, Url};

use crate::config::error::ConfigError;
use crate::config::inputs::Inputs;
use crate::config::presets::{KeyRule, Preset};
use crate::config::secret::Secret;
use crate::config::sections::seconds_if_any;
use crate::config::sources::{Source, Sources};

/// The two providers that need no section of their own.
const BUILT_IN: [&str; 2] = ["kimi", "glm"];
/// The longest name of a provider, in bytes; names go into metric labels.
const NAME_BYTES_MAX: usize = 32;
/// `providers.NAME.max_in_flight` when nobody says.
const MAX_IN_FLIGHT: usize = 8;

/// A provider that can be asked: one host, one key.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    /// NAME of its section.
    pub(crate) name: ProviderName,
    /// `dialect`: `kimi`, `glm` or `openai`. Default by name, else `openai`.
    pub(crate) dialect: Dialect,
    /// `base_url`: what `/chat/completions` is appended to; `https` only, except on loopback. Default by name.
    pub(crate) base_url: Url,
    /// `api_key`, or the variable that `api_key_env` names; none for local servers that want none.
    pub(crate) api_key: Option<Secret>,
    /// `models`: the ids that it serves; empty means what the catalogue knows of it. Required for the dialect `openai`.
    pub(crate) models: Vec<String>,
    /// `max_in_flight`: calls in flight. Default 8.
    pub(crate) max_in_flight: usize,
    /// `first_byte_timeout_s`: from sending to the first byte, in seconds. Default Kimi 300, GLM 600, others 120.
    pub(crate) first_byte_timeout: Duration,
    /// `idle_timeout_s`: between two chunks, in seconds. Default as `first_byte_timeout_s`.
    pub(crate) idle_timeout: Duration,
}

impl Provider {
    /// A provider of `exai demo`: everything by default but where it is.
    pub(crate) fn on_loopback(name: &str, dialect: Dialect, base_url: Url, api_key: Secret) -> Self {
        let silence_max = dialect.silence_max();
        Self {
            name: name.into(),
            dialect,
            base_url,
            api_key: Some(api_key),
            models: Vec::new(),
            max_in_flight: MAX_IN_FLIGHT,
            first_byte_timeout: silence_max,
            idle_timeout: silence_max,
        }
    }
}

/// A provider that is not there, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Its name.
    pub(crate) name: ProviderName,
    /// One sentence that says what to set.
    pub(crate) reason: String,
}

/// `[providers.NAME]` as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProvider {
    dialect: Option<Dialect>,
    base_url: Option<String>,
    api_key: Option<Secret>,
    api_key_env: Option<String>,
    models: Vec<String>,
    pub(super) max_in_flight: Option<usize>,
    #[serde(rename = "first_byte_timeout_s", deserialize_with = "seconds_if_any")]
    pub(super) first_byte_timeout: Option<Duration>,
    #[serde(rename = "idle_timeout_s", deserialize_with = "seconds_if_any")]
    pub(super) idle_timeout: Option<Duration>,
}

/// Checks all sections. Kimi and GLM come first, the others by name: the first one answers when no model is named.
pub(super) fn resolve(
    mut written: BTreeMap<String, RawProvider>,
    sources: &Sources,
    inputs: &Inputs,
) -> Result<(Vec<Provider>, Vec<LeftOut>), ConfigError> {
    let (mut there, mut left_out) = (Vec::new(), Vec::new());
    let built_in = BUILT_IN.map(|name| (name.to_owned(), written.remove(name).unwrap_or_default()));
    for (name, raw) in built_in.into_iter().chain(written) {
        match (Section { name: &name, sources, inputs }).resolve(raw)? {
            Ok(provider) => there.push(provider),
            Err(reason) => left_out.push(LeftOut { name: name.into(), reason }),
        }
    }
    Ok((there, left_out))
}

struct Section<'a> {
    name: &'a str,
    sources: &'a Sources,
    inputs: &'a Inputs,
}

impl Section<'_> {
    /// The provider, or why there is none; an error when it is half configured.
    fn resolve(&self, raw: RawProvider) -> Result<Result<Provider, String>, ConfigError> {
        self.check_name()?;
        let preset = Preset::of(self.name);
        let dialect = raw.dialect.or(preset.map(|preset| preset.dialect)).unwrap_or(Dialect::OpenAi);
        let base_url = raw.base_url.as_deref().or(preset.map(|preset| preset.base_url));
        let Some(base_url) = base_url else {
            let fix = format!("set providers.{}.base_url, such as \"https://api.example.com/v1\"", self.name);
            return Err(self.refused("base_url", "missing, and no preset has this name", fix));
        };
        let base_url = self.base_url(base_url)?;
        if dialect == Dialect::OpenAi && raw.models.is_empty() {
            let fix = format!(
                "set providers.{}.models to the ids that it serves, such as [\"model-id\"]",
                self.name
            );
            return Err(self.refused("models", "missing", fix));
        }
        if raw.models.iter().any(|model| model.trim().is_empty()) {
            return Err(self.refused("models", "an empty id", "remove it".to_owned()));
        }
        let rule = preset.map_or(KeyRule::Needed(&[]), |preset| preset.key);
        let api_key = match self.api_key(&raw, rule)? {
            Some(key) => Some(key),
            None if rule == KeyRule::NotNeeded || (dialect == Dialect::OpenAi && is_loopback(&base_url)) => {
                None
            }
            None => return Ok(Err(self.without_key(&raw, rule))),
        };
        let silence_max = dialect.silence_max();
        Ok(Ok(Provider {
            name: self.name.into(),
            dialect,
            base_url,
            api_key,
            models: raw.models,
            max_in_flight: raw.max_in_flight.unwrap_or(MAX_IN_FLIGHT),
            first_byte_timeout: raw.first_byte_timeout.unwrap_or(silence_max),
            idle_timeout: raw.idle_timeout.unwrap_or(silence_max),
        }))
    }

    fn check_name(&self) -> Result<(), ConfigError> {
        let good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if !self.name.is_empty() && self.name.len() <= NAME_BYTES_MAX && self.name.bytes().all(good) {
            return Ok(());
        }
        let key = format!("providers.{}", self.name);
        let fix = format!("use at most {NAME_BYTES_MAX} of a-z, 0-9, _ and -");
        Err(ConfigError::refused(self.anywhere(), key, "not a name for a provider", fix))
    }

    fn base_url(&self, text: &str) -> Result<Url, ConfigError> {
        let refused = |problem: &str, fix: &str| self.refused("base_url", problem, fix.to_owned());
        let url = Url::parse(text).map_err(|_| refused("not an address", "use https://host/path"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("holds a user name or password", "give the key as api_key_env instead"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("holds a query or fragment", "end it with the path, such as /v1"));
        }
        match url.scheme() {
            "https" if url.has_host() => Ok(url),
            "http" if is_loopback(&url) => Ok(url),
            "http" => Err(refused(
                "http would send the key in clear text",
                "use https (http is for loopback alone)",
            )),
            _ => Err(refused("neither https nor http", "use https://host/path")),
        }
    }

    /// Variables win over the file: EXAI's own first, then the one that is named, or else the usual ones.
    fn api_key(&self, raw: &RawProvider, rule: KeyRule) -> Result<Option<Secret>, ConfigError> {
        let own = raw.api_key.clone();
        if matches!(self.sources.of(&self.key("api_key")), Source::Variable(_)) {
            return own
                .map(|key| usable(key, self.sources.of(&self.key("api_key")), self.key("api_key")))
                .transpose();
        }
        let usual = match rule {
            KeyRule::Needed(usual) => usual,
            KeyRule::NotNeeded => &[],
        };
        let named = raw.api_key_env.as_deref();
        for variable in named.into_iter().chain(usual.iter().copied().filter(|_| named.is_none())) {
            if let Some(value) = self.inputs.variable(variable)? {
                let origin = Source::Variable(variable.to_owned());
                return usable(value.into(), origin, self.key("api_key")).map(Some);
            }
        }
        own.map(|key| usable(key, self.sources.of(&self.key("api_key")), self.key("api_key"))).transpose()
    }

    fn without_key(&self, raw: &RawProvider, rule: KeyRule) -> String {
        match (raw.api_key_env.as_deref(), rule) {
            (Some(variable), _) => format!("no key: the environment variable {variable} is not set"),
            (None, KeyRule::Needed([variable, ..])) => format!("no key: set {variable}"),
            (None, KeyRule::Needed([]) | KeyRule::NotNeeded) => {
                format!("no key: set providers.{}.api_key_env to the variable that holds it", self.name)
            }
        }
    }

    fn key(&self, field: &str) -> String {
        format!("providers.{}.{field}", self.name)
    }

    fn refused(&self, field: &str, problem: &str, fix: String) -> ConfigError {
        let key = self.key(field);
        let origin = if self.sources.is_set(&key) { self.sources.of(&key) } else { self.anywhere() };
        ConfigError::refused(origin, key, problem, fix)
    }

    /// Any place that mentions this provider, for an error about something that is missing.
    fn anywhere(&self) -> Source {
        let prefix = format!("providers.{}", self.name);
        let of_this = |key: &str| {
            key.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.sources
            .iter()
            .find(|(key, _)| of_this(key))
            .map(|(_, source)| source.clone())
            .unwrap_or_default()
    }
}

/// A key goes into a header: visible ASCII, nothing else.
fn usable(key: Secret, origin: Source, name: String) -> Result<Secret, ConfigError> {
    let trimmed = key.reveal().trim();
    if trimmed.is_empty() || !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = "the key is empty or has characters that no key has";
        let fix = "set it to the key alone, without quotes, spaces or line breaks";
        return Err(ConfigError::refused(origin, name, problem, fix));
    }
    Ok(trimmed.into())
}

/// Whether an address can only mean this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
