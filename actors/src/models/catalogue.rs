//! Which models there are, and what a name means. It never guesses: an unknown name is refused with a list of the known ones.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::Deserialize;

use super::{Model, Price, Thinking};
use crate::error::{CallError, ErrorKind};
use crate::ids::{ModelId, ProviderName};
use crate::provider::Listings;

/// The data file.
const DATA: &str = include_str!("catalogue.toml");
/// The context of a model of which nothing is known: what most servers of open models offer.
const UNKNOWN_CONTEXT_TOKENS: u32 = 131_072;
/// The output cap of such a model: room for a long answer with its reasoning, accepted by all servers that we know of.
const UNKNOWN_OUTPUT_TOKENS: u32 = 16_384;
/// Models that a refusal names at most; the `models` tool lists all.
const NAMED_MAX: usize = 40;
/// Models that a refusal asks back with.
const NEAREST_MAX: usize = 3;
/// How alike two names must be, from 0 to 1 (Jaro and Winkler): a letter wrong in a short name, a few in a long one.
const ALIKE_MIN: f64 = 0.85;
/// Characters of an unknown name that are compared.
const NAME_CHARS_COMPARED: usize = 128;

/// The models of the configured providers, by name.
#[derive(Debug, Clone)]
pub struct Catalogue {
    known: Arc<[Model]>,
    models: Vec<Arc<Model>>,
    by_id: HashMap<ModelId, usize>,
    by_alias: HashMap<String, usize>,
    by_full_name: HashMap<String, usize>,
    defaults: HashMap<ProviderName, usize>,
}

/// The data file is not what the catalogue expects.
#[derive(Debug, thiserror::Error)]
#[error("reading the model catalogue")]
pub struct BadCatalogue(#[from] toml::de::Error);

/// No configured provider serves that model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.in_words())]
pub struct UnknownModel {
    /// What there is; empty where no provider is configured, or none has a model.
    known: String,
    /// What may have been meant.
    nearest: String,
}

impl UnknownModel {
    /// The models that there are, each with its other names.
    pub fn known(&self) -> &str {
        &self.known
    }

    fn in_words(&self) -> String {
        let Self { known, nearest } = self;
        if known.is_empty() {
            return "there is no model to ask: give a provider a key (MOONSHOT_API_KEY, ZAI_API_KEY) or, where it has one, name its \
                    `models` in the configuration, and start the daemon anew"
                .to_owned();
        }
        format!(
            "unknown model: {nearest}ask one of {known}, or add the model's id to `models` of its provider in the configuration"
        )
    }

    /// The refusal as the caller gets it.
    pub fn to_call_error(&self) -> CallError {
        CallError::new(ErrorKind::UnknownModel, self.to_string())
    }
}

#[derive(Deserialize)]
struct Data {
    model: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    provider: String,
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    context: u32,
    output: u32,
    thinking: Thinking,
    #[serde(default)]
    vision: bool,
    price: Option<[f64; 3]>,
}

impl Entry {
    fn model(&self) -> Model {
        let price = self.price.map(|[input, output, cached_input]| Price { input, output, cached_input });
        Model {
            id: self.id.as_str().into(),
            provider: self.provider.as_str().into(),
            aliases: self.aliases.clone(),
            context_tokens: self.context,
            output_tokens_max: self.output,
            thinking: self.thinking,
            vision: self.vision,
            price,
        }
    }
}

impl Catalogue {
    /// The models of the configured providers, each with the ids that its configuration adds. A provider that is not among them
    /// has no models here, whatever the data file says.
    ///
    /// An added id that the data file knows, of whatever provider, inherits its entry without the aliases; an unknown one gets
    /// 131 072 tokens of context, an answer of at most 16 384, no price, and no switch for thinking.
    pub fn new(configured: impl Iterator<Item = (ProviderName, Vec<String>)>) -> Result<Self, BadCatalogue> {
        Self::from_data(DATA, configured)
    }

    /// As [`Catalogue::new`], with the text of another data file.
    pub fn from_data(
        data: &str,
        configured: impl Iterator<Item = (ProviderName, Vec<String>)>,
    ) -> Result<Self, BadCatalogue> {
        let known = toml::from_str::<Data>(data)?.model.iter().map(Entry::model).collect::<Arc<[_]>>();
        let mut catalogue = Self {
            known: Arc::clone(&known),
            models: Vec::new(),
            by_id: HashMap::new(),
            by_alias: HashMap::new(),
            by_full_name: HashMap::new(),
            defaults: HashMap::new(),
        };
        for (provider, extra) in configured {
            for model in known.iter().filter(|model| model.provider == provider) {
                catalogue.add(model.clone());
            }
            for id in extra {
                catalogue.add(extra_model(&known, &provider, &id));
            }
        }
        Ok(catalogue)
    }

    /// The model of this name: an id, an alias, `provider/id`, or a provider's name for its default model. Upper and lower case
    /// matter only between models whose names differ in nothing else.
    pub fn resolve(&self, name: &str) -> Result<Arc<Model>, UnknownModel> {
        let name = name.trim();
        self.exact(name)
            .or_else(|| self.in_any_case(name))
            .cloned()
            .ok_or_else(|| UnknownModel { known: self.names(), nearest: self.nearest(name) })
    }

    /// With what the providers themselves say that they serve. They only add: no name that means a model here comes to mean another
    /// one, or a provider could draw the calls, and the prompts, of its neighbours by listing their models.
    #[must_use]
    pub fn with(&self, listings: &Listings) -> Self {
        let mut merged = self.clone();
        for (provider, models) in listings {
            for listed in models {
                if merged.means_elsewhere(&listed.id, provider) {
                    continue;
                }
                let mut model = extra_model(&self.known, provider, &listed.id);
                let is_known = self.known.iter().any(|known| known.id.as_str() == listed.id);
                if let Some(tokens) = listed.context_tokens.filter(|_| !is_known) {
                    model.context_tokens = tokens;
                    model.output_tokens_max = model.output_tokens_max.min(tokens / 2);
                }
                merged.add(model);
            }
        }
        merged
    }

    /// Whether an id is an alias, a full name or a provider's name already.
    fn means_elsewhere(&self, id: &str, provider: &ProviderName) -> bool {
        let full_name = self.by_full_name.get(id).and_then(|index| self.models.get(*index));
        self.by_alias.contains_key(id)
            || self.defaults.contains_key(&ProviderName::from(id))
            || full_name.is_some_and(|model| model.provider != *provider)
    }

    fn exact(&self, name: &str) -> Option<&Arc<Model>> {
        let index = self
            .by_id
            .get(&ModelId::from(name))
            .or_else(|| self.by_alias.get(name))
            .or_else(|| self.by_full_name.get(name))
            .or_else(|| self.defaults.get(&ProviderName::from(name)))?;
        self.models.get(*index)
    }

    /// The first model of this name in whatever case, with ids before aliases and these before the longer names, as for exact ones.
    fn in_any_case(&self, name: &str) -> Option<&Arc<Model>> {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        let first = |named: &dyn Fn(&Model) -> bool| self.models.iter().find(|model| named(model));
        first(&|model| same(model.id.as_str()))
            .or_else(|| first(&|model| model.aliases.iter().any(|alias| same(alias))))
            .or_else(|| first(&|model| same(&format!("{}/{}", model.provider, model.id))))
            .or_else(|| first(&|model| same(model.provider.as_str())))
    }

    /// All models, provider by provider as configured, each provider's as the data file and the configuration list them.
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// The model that a provider is asked for by default: its first.
    pub fn default_of(&self, provider: &ProviderName) -> Option<&Arc<Model>> {
        self.models.get(*self.defaults.get(provider)?)
    }

    fn add(&mut self, model: Model) {
        let index = self.models.len();
        let full_name = format!("{}/{}", model.provider, model.id);
        if self.by_full_name.contains_key(&full_name) {
            return;
        }
        // The first provider that serves a name has it; the others' are reached by their full names.
        self.by_full_name.insert(full_name, index);
        self.by_id.entry(model.id.clone()).or_insert(index);
        for alias in &model.aliases {
            self.by_alias.entry(alias.clone()).or_insert(index);
        }
        self.defaults.entry(model.provider.clone()).or_insert(index);
        self.models.push(Arc::new(model));
    }

    /// The names that are most like this one, as a question; nothing where none is like it.
    fn nearest(&self, name: &str) -> String {
        let name = name.chars().take(NAME_CHARS_COMPARED).collect::<String>().to_ascii_lowercase();
        let alike = |other: &str| strsim::jaro_winkler(&name, &other.to_ascii_lowercase());
        let names = self.models.iter().flat_map(|model| {
            std::iter::once(model.id.as_str()).chain(model.aliases.iter().map(String::as_str))
        });
        let mut near: Vec<_> =
            names.map(|other| (alike(other), other)).filter(|(like, _)| *like >= ALIKE_MIN).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        near.dedup_by_key(|(_, other)| *other);
        near.truncate(NEAREST_MAX);
        if near.is_empty() {
            return String::new();
        }
        let near = near.into_iter().map(|(_, other)| other).collect::<Vec<_>>();
        format!("did you mean {}? Or ", near.join(", "))
    }

    fn names(&self) -> String {
        let mut names = String::new();
        for (index, model) in self.models.iter().take(NAMED_MAX).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(names, "{comma}{}", model.id);
            if !model.aliases.is_empty() {
                let _ = write!(names, " ({})", model.aliases.join(", "));
            }
        }
        if self.models.len() > NAMED_MAX {
            let _ = write!(names, " and {} more", self.models.len() - NAMED_MAX);
        }
        names
    }
}

fn extra_model(known: &[Model], provider: &ProviderName, id: &str) -> Model {
    let unknown = Model {
        id: id.into(),
        provider: provider.clone(),
        aliases: Vec::new(),
        context_tokens: UNKNOWN_CONTEXT_TOKENS,
        output_tokens_max: UNKNOWN_OUTPUT_TOKENS,
        thinking: Thinking::None,
        vision: false,
        price: None,
    };
    match known.iter().find(|model| model.id.as_str() == id) {
        Some(model) => Model { provider: provider.clone(), aliases: Vec::new(), ..model.clone() },
        None => unknown,
    }
}

#[cfg(test)]
mod tests;
