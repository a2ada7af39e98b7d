//! The catalogue: which models exist, at which provider, with which limits and prices. Data from `models/catalogue.toml`, merged
//! with what the configuration adds. It never asks a provider anything.

use crate::ids::{ModelId, ProviderName};

/// One model of one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The provider's own spelling.
    pub id: ModelId,
    /// The provider that serves it.
    pub provider: ProviderName,
    /// Other spellings that mean this model.
    pub aliases: Vec<String>,
    /// The context window, in tokens: prompt and answer together.
    pub context_tokens: u32,
    /// The most tokens that one answer may have, reasoning included.
    pub output_tokens_max: u32,
    /// How its thinking is steered.
    pub thinking: Thinking,
    /// Whether it reads images.
    pub vision: bool,
    /// What it costs; none where the provider's price is not known.
    pub price: Option<Price>,
}

/// How the thinking of a model is steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// It does not think, or nothing is known.
    None,
    /// It always thinks; asking it not to is refused by the provider.
    Always,
    /// It thinks unless told not to.
    Switchable,
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Prompt tokens.
    pub input: f64,
    /// Answer tokens, reasoning included.
    pub output: f64,
    /// Prompt tokens that the provider had in its cache.
    pub cached_input: f64,
}
