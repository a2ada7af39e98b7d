//! One chunk of a stream, in the words of every make. What is not read is not named here: unknown fields are skipped.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::models::Usage;

#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    x_groq: Option<Groq<'a>>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Cow<'a, str>>,
    /// Kimi puts the usage here.
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_text: Option<&'a RawValue>,
}

/// Text, or parts as Mistral sends them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Parts(#[serde(borrow)] Vec<Part<'a>>),
}

/// A part; one that thinks has no `text` of its own.
#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Groq<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize, Clone, Copy)]
struct RawUsage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
    /// Kimi says it here and in the details.
    #[serde(default)]
    cached_tokens: Option<u32>,
    /// DeepSeek's word.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize, Clone, Copy)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

#[derive(Deserialize, Clone, Copy)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u32>,
}

impl Chunk<'_> {
    /// The usage wherever it stands: top level, else the first choice, else Groq's own place. One that counts no tokens is none: no
    /// answer is lost for it.
    pub(super) fn usage(&self) -> Option<Usage> {
        let in_choice = || self.choices.as_ref()?.first()?.usage;
        let in_groq = || self.x_groq.as_ref()?.usage;
        let told = self.usage.or_else(in_choice).or_else(in_groq)?;
        serde_json::from_str::<RawUsage>(told.get()).ok().map(|raw| Usage {
            prompt: raw.prompt_tokens.unwrap_or(0),
            cached: raw
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens)
                .or(raw.cached_tokens)
                .or(raw.prompt_cache_hit_tokens)
                .unwrap_or(0),
            completion: raw.completion_tokens.unwrap_or(0),
            reasoning: raw
                .completion_tokens_details
                .and_then(|details| details.reasoning_tokens)
                .unwrap_or(0),
        })
    }
}

impl Delta<'_> {
    /// Roughly how much reasoning it carries, if any; an empty text closes the phase and carries none.
    pub(super) fn reasoning_bytes(&self) -> Option<usize> {
        let raw = self.reasoning_content.or(self.reasoning).or(self.reasoning_text)?.get();
        (raw != "\"\"").then_some(raw.len())
    }
}

impl Content<'_> {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Parts(parts) => {
                parts.iter().filter_map(|part| part.text.as_ref()).map(|text| text.len()).sum()
            }
        }
    }

    pub(super) fn append_to(&self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Parts(parts) => {
                parts.iter().filter_map(|part| part.text.as_ref()).for_each(|text| out.push_str(text));
            }
        }
    }
}
