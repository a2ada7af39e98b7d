//! The catalogue: which models exist, at which provider, with which limits and prices. Data from `models/catalogue.toml`, merged
//! with what the configuration adds and what the providers list. It never asks a provider anything.

mod catalogue;
mod current;
pub mod fit;
pub mod pages;
pub mod tokens;

pub use catalogue::{BadCatalogue, Catalogue, UnknownModel};
pub use current::CurrentCatalogue;

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// Tokens that a price is for.
const PRICED_TOKENS: f64 = 1_000_000.0;

/// What a call cost, in US dollars. Cached prompt tokens have their own price; reasoning is part of the answer.
pub fn cost(price: &Price, usage: &Usage) -> f64 {
    let cached = usage.cached.min(usage.prompt);
    let fresh = usage.prompt - cached;
    let dollars = f64::from(fresh) * price.input
        + f64::from(cached) * price.cached_input
        + f64::from(usage.completion) * price.output;
    dollars / PRICED_TOKENS
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// Tokens of one upstream call, as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The prompt.
    pub prompt: u32,
    /// The part of the prompt that came from the provider's cache.
    pub cached: u32,
    /// The answer, reasoning included.
    pub completion: u32,
    /// The reasoning.
    pub reasoning: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_token_costs_its_own_price() {
        let price = Price { input: 1.0, output: 4.0, cached_input: 0.1 };
        let usage = Usage { prompt: 1_000_000, cached: 500_000, completion: 250_000, reasoning: 200_000 };
        assert!((cost(&price, &usage) - (0.5 + 0.05 + 1.0)).abs() < 1e-9);
        let odd = Usage { prompt: 10, cached: 20, ..Usage::default() };
        assert!(cost(&price, &odd) >= 0.0);
    }
}
